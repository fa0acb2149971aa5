"""What a submitted job runs on the cluster: `ortbatch run ... --json`, and then its report as a line of the log.

The summary follows that line: who follows the log reads it from the report, who looks at the log reads it there.
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

from ortbatch.cli import end_process, main
from ortbatch.report.report import Report
from ortbatch.submit.handover import line_of
from ortbatch.terminal import say
from ortbatch.verdict import print_report


def run_and_hand_over() -> int:
    """Run the command line of this process; the exit code is that of the run."""
    place = sys.argv.index("--run-dir") + 1  # a submission names it
    if sys.argv[place].startswith("~"):
        sys.argv[place] = str(Path(sys.argv[place]).expanduser())
    held = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True)
    code = 5
    try:
        with redirect_stdout(held):
            main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 5
    report = held.buffer.getvalue()
    if report:
        sys.stderr.flush()
        sys.stdout.write(f"{line_of(report)}\n")
        sys.stdout.flush()
        print_report(Report.decode(report, sys.argv[place]), False)
    else:
        say(f"no report; exit code {code}")
    return code


if __name__ == "__main__":
    end_process(run_and_hand_over())
