"""Run one contender once and print its answer as the last line, in JSON.

The contender is imported, not the main module, so what it sends to worker processes they can import too.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from benchmarks.contract import Task


def main() -> None:
    """Take the contender's name and the task's path from the command line."""
    name, path = sys.argv[1:]
    found = import_module(f"benchmarks.contenders.{name}").run(Task.read(Path(path)))
    print(json.dumps(asdict(found)), flush=True)


if __name__ == "__main__":
    main()
