"""One module a contender, each with `run(task)`: `python -m benchmarks.contenders NAME TASK.json`."""
