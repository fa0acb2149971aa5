"""What a page costs: time to make it, its size, and how long a browser takes to open it.

    python -m benchmarks.page RUN ... [--runs 3] [--no-browser]

RUN is the folder of a finished run; without one, reports of two classes, of 200 classes with 100 slices and of 10,000
classes are measured. Making is a whole process (imports, Altair, V8), wall and CPU time; opening is from the start of
the navigation to the load event and to the first paint, and the CPU time of the page's own thread. Medians. Exits
with 1 if a page is over 1.6 MB or opens in more than 2 s.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOST_BYTES, MOST_MS = 1_600_000, 2_000
MAKE = """
import json, sys
from ortbatch.report.page.page import report_page
open(sys.argv[2], "w", encoding="utf-8").write(report_page(json.load(open(sys.argv[1], encoding="utf-8"))))
"""
TIMES = """() => new Promise((done) => setTimeout(() => {
    const [page] = performance.getEntriesByType("navigation");
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    done([page.loadEventEnd, paint ? paint.startTime : NaN]);
}, 300))"""


def measured(folder: Path) -> list[Path]:
    """report.json of two classes with slices, of 200 classes with 100 slices, and of 10,000 classes."""
    from ortbatch.api import Options, run_job
    from tests.browser.reports import JOBS, ten_thousand_classes

    made = []
    for name in ("fraud", "wide"):
        (folder / name).mkdir()
        job = JOBS[name](folder / name)
        outcome = run_job(job, Options(run_dir=str(folder / name / "run"), engine="inline"))
        made.append(Path(str(outcome.report.path)))
    many = folder / "10,000 classes.json"
    many.write_text(json.dumps(ten_thousand_classes()), "utf-8")
    return [*made, many]


def make(report: Path, page: Path) -> tuple[float, float]:
    """Seconds of wall and of CPU that a process takes to make a page."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", MAKE, str(report), str(page)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def opened(page: Path, runs: int) -> tuple[float, float, float]:
    """Milliseconds to the load event, to the first paint, and of CPU that the page's own thread took."""
    from tests.browser.windows import chromium, chromium_path, watched_page

    path = chromium_path()
    if path is None:
        sys.exit("no Chromium is installed; --no-browser measures the rest")
    found = []
    with chromium(path) as browser:
        for _ in range(runs):
            with watched_page(browser) as window:
                session = window.context.new_cdp_session(window)
                session.send("Performance.enable", {"timeDomain": "threadTicks"})
                window.goto(page.as_uri())
                times = window.evaluate(TIMES)
                metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
            found.append((*times, metrics["TaskDuration"] * 1000))
    load, paint, cpu = (statistics.median(column) for column in zip(*found, strict=True))
    return load, paint, cpu


def main() -> int:
    """Print a table; 1 if a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-browser", action="store_true")
    options = parser.parse_args()
    over = 0
    print(f"{'report':24}{'kB':>7}{'wall s':>8}{'CPU s':>8}{'load ms':>9}{'paint ms':>9}{'its CPU ms':>11}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        reports = [run / "report.json" if run.is_dir() else run for run in options.run] or measured(folder)
        for report in reports:
            page = folder / "report.html"
            spent = [make(report, page) for _ in range(options.runs)]
            wall, cpu = (statistics.median(column) for column in zip(*spent, strict=True))
            times = (0.0, 0.0, 0.0) if options.no_browser else opened(page, options.runs)
            size = page.stat().st_size
            over += size > MOST_BYTES or times[0] > MOST_MS
            name = json.loads(report.read_text("utf-8"))["run"]["name"] if report.name == "report.json" else report.stem
            shown = "".join(f"{value:{width}.0f}" for value, width in zip(times, (9, 9, 11), strict=True))
            print(f"{name:24}{size / 1000:7.0f}{wall:8.2f}{cpu:8.2f}{shown}")
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main())
