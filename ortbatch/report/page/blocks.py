"""What a page is made of: sections of blocks. Values only; templates/blocks.html draws them.

A number keeps its value beside its text: the page writes `<data value="…">`, so that whoever reads it by machine, or
sorts it, has what report.json has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from markupsafe import Markup

from ortbatch.report.format import interval, name, number

Tone = Literal["", "good", "bad", "doubt", "dim"]
_NAME_CHARACTERS = 80
_SENTENCE_CHARACTERS = 600


@dataclass(frozen=True)
class Cell:
    """A text, with the value that it stands for if it is a number.

    Args:
        text: what is read.
        value: the number as report.json has it; None for text.
        key: what it is, by the name that gates and metrics.csv have for it, such as `recall[fraud]`.
        tone: how it looks; what it says stands in the text too.
        more: shown on hover and read out: the whole of a name that was cut, the caution of an interval.
        mark: drawn before the text, by its tone: a tick, a cross, a question mark.
    """

    text: str
    value: float | None = None
    key: str = ""
    tone: Tone = ""
    more: str = ""
    mark: bool = False

    @property
    def exact(self) -> str:
        """The value as JSON writes it."""
        return "" if self.value is None else repr(self.value)


def word(text: str, tone: Tone = "") -> Cell:
    """A name or another text from data or models, on one line."""
    shown = name(text, _NAME_CHARACTERS)
    return Cell(shown, tone=tone, more=name(text, 1_000) if shown != text else "")


def count(value: int, key: str = "", tone: Tone = "") -> Cell:
    """A count with separators."""
    return Cell(f"{value:,}", value, key, tone)


def figure(value: float | None, key: str = "", tone: Tone = "") -> Cell:
    """A number with four decimals or more."""
    return Cell(number(value), value, key, tone)


def estimate(item: Mapping[str, Any], key: str = "", tone: Tone = "") -> tuple[Cell, Cell]:
    """The cells of an estimate: its value, or a dash with the reason; and its interval."""
    if item["value"] is None:
        return Cell("–", key=key, tone="dim", more=item["reason"]), Cell(name(item["reason"], 120), tone="dim")
    doubt = item.get("caution", "")
    return figure(item["value"], key, tone), Cell(
        interval(item["ci"]) + (" *" if doubt else ""), tone="doubt" if doubt else "", more=doubt
    )


@dataclass(frozen=True)
class Sentence:
    """A paragraph; hostile text is made inert and cut."""

    text: str
    tone: Tone = ""

    @property
    def shown(self) -> str:
        """The text as it may be shown."""
        return name(self.text, _SENTENCE_CHARACTERS)

    @property
    def parts(self) -> Sequence[tuple[str, bool]]:
        """What is shown, cut at backticks: (text, whether it stood between two of them).

        >>> Sentence("it misses `fraud`").parts
        [('it misses ', False), ('fraud', True)]
        """
        pieces = self.shown.split("`")
        if len(pieces) % 2 == 0:  # one without its other half
            return [(self.shown, False)]
        return [(piece, place % 2 == 1) for place, piece in enumerate(pieces) if piece]


@dataclass(frozen=True)
class Table:
    """Rows of cells under a head.

    Args:
        title: its caption.
        head: names of the columns.
        rows: as many cells as the head has.
        texts: so many columns from the left are text, the others numbers.
        note: what stands below it, such as what a star means.
        folded: closed until it is asked for.
        search: has a field that narrows its rows.
        ends: so many columns from the right are text again.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    texts: int = 1
    note: str = ""
    folded: bool = False
    search: bool = False
    ends: int = 0
    kind: Literal["table"] = field(default="table", init=False)


@dataclass(frozen=True)
class Figure:
    """A picture with the table of what it shows.

    Args:
        title: its caption.
        alt: what it shows, in a sentence, for whoever cannot see it.
        svg: from `draw.svg`.
        table: what is drawn, as numbers.
    """

    title: str
    alt: str
    svg: Markup
    table: Table
    kind: Literal["figure"] = field(default="figure", init=False)


@dataclass(frozen=True)
class Fragment:
    """What needs a template of its own.

    Args:
        template: file in templates/.
        values: what it is drawn with, as `values`.
    """

    template: str
    values: Mapping[str, Any]
    kind: Literal["fragment"] = field(default="fragment", init=False)


Block = Sentence | Table | Figure | Fragment


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading.

    Args:
        id: anchor, in lower case.
        title: heading.
        blocks: what stands in it, in order.
        badge: beside its name in the list of sections, such as how many findings there are.
        tone: of the badge.
    """

    id: str
    title: str
    blocks: Sequence[Block]
    badge: str = ""
    tone: Tone = ""
