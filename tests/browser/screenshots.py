"""The pictures of docs/page.md: a run of a two-class job, at 360 and 1,280 pixels, light and dark.

    python -m tests.browser.screenshots RUN [--out docs/images]

RUN is the folder of a finished run, or its report.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from ortbatch.report.page.page import report_page
from tests.browser.windows import chromium, chromium_path, watched_page

SIZES = {360: 780, 1280: 900}
MODES = ("light", "dark")
PARTS = {"top": "body", "thresholds": "#thresholds"}
MOST_BYTES = 200_000


def main() -> None:
    """Writes page-PART-WIDTH-MODE.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    path = chromium_path()
    if path is None:
        sys.exit("no Chromium is installed")
    options.out.mkdir(parents=True, exist_ok=True)
    source = options.run / "report.json" if options.run.is_dir() else options.run
    with tempfile.TemporaryDirectory() as folder, chromium(path) as browser:
        page = Path(folder) / "report.html"
        page.write_text(report_page(json.loads(source.read_text("utf-8"))), "utf-8")
        for width, height in SIZES.items():
            for mode in MODES:
                with watched_page(browser, viewport={"width": width, "height": height}, color_scheme=mode) as window:
                    window.goto(page.as_uri())
                    for part, place in PARTS.items():
                        window.locator(place).evaluate("it => it.scrollIntoView({ behavior: 'instant' })")
                        window.wait_for_timeout(500)
                        picture = options.out / f"page-{part}-{width}-{mode}.png"
                        window.screenshot(path=picture)
                        assert picture.stat().st_size < MOST_BYTES, f"{picture}: {picture.stat().st_size:,} bytes"
                        print(picture)


if __name__ == "__main__":
    main()
