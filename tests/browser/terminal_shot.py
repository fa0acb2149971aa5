"""A picture of what commands print on a terminal, for the README: their colours and widths as they are.

    python -m tests.browser.terminal_shot FOLDER OUT.png COMMAND [COMMAND ...]

Each COMMAND is run in FOLDER as a shell would, in 100 columns; what it prints on stderr is left out.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.browser.windows import chromium, chromium_path, watched_page

COLUMNS = 100
PAGE = """<!doctype html><meta charset="utf-8"><style>{stylesheet}
body {{ margin: 0; padding: 16px; background: {background}; color: {foreground}; }}
pre {{ margin: 0; font: 13px/1.35 "DejaVu Sans Mono", monospace; }}</style><pre>{code}</pre>"""


def main() -> None:
    """Writes OUT.png."""
    folder, out, *commands = sys.argv[1:]
    path = chromium_path()
    if path is None:
        sys.exit("no Chromium is installed")
    console = Console(file=io.StringIO(), record=True, width=COLUMNS)
    for command in commands:
        console.print(Text(f"$ {command}", "bold"))
        console.print(Text.from_ansi(printed(command, folder)))
    page = console.export_html(theme=MONOKAI, code_format=PAGE)
    with chromium(path) as browser, watched_page(browser, viewport={"width": 840, "height": 100}) as window:
        window.set_content(page)
        window.screenshot(path=out, full_page=True)


def printed(command: str, folder: str) -> str:
    """What a command prints on stdout."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout


if __name__ == "__main__":
    main()
