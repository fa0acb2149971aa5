"""The one look of tables in a terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text


def sheet(*columns: str, texts: int = 1) -> Table:
    """A table whose first `texts` columns are text, the others numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if place < texts else "right", overflow="fold")
    return table
