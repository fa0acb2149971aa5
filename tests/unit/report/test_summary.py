"""What people see: the verdict first, in 80 columns, and names that do nothing."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from ortbatch.metrics.coverage import Coverage
from ortbatch.report.summary import print_summary, print_verdict
from tests.unit.report.made import binary, label_tally, milliseconds, multiclass, names, report, timed

ODD = ("[red]x[/red]", "<script>x</script>", "🐈 猫", "\x1b[2J\x1b[31m", "two\nlines", "x" * 10_000)


def shown(made: dict[str, Any], width: int = 80, draw: Any = print_summary) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    draw(made, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def coloured(made: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=80, highlight=False, force_terminal=True, color_system="standard")
    print_verdict(made, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def odd_report() -> dict[str, Any]:
    counts = np.eye(len(ODD), dtype=int) * 5 + 1
    return report(timed(label_tally(counts, ODD)), {"metric": "recall", "class": ODD[0], "min": 0.9})


def words(line: str) -> list[str]:
    return line.split()


JUDGED = ("accuracy >= 0.9", "recall[class_0] >= 0.95", "latency.single.p99_9_ms <= 10", "f1_macro >= 0.5")


def test_the_verdict_comes_first() -> None:
    first, task, *_ = shown(multiclass(*JUDGED)).splitlines()
    assert first == " FAILED   made: 1 failed, 1 inconclusive, 2 passed of 4 gates"
    assert task == "multiclass, 3 classes; 60 rows evaluated"


def test_gates_follow_with_the_failed_ones_on_top() -> None:
    lines = shown(multiclass(*JUDGED)).splitlines()
    assert words(lines[3]) == ["outcome", "gate", "value", "margin", "95%", "interval", "n"]
    assert [words(line)[0] for line in lines[5:10] if line[0] != " "] == ["FAILED", "inconclusive", "passed", "passed"]


def test_a_failed_gate_shows_value_limit_margin_interval_and_rows() -> None:
    line = shown(multiclass(*JUDGED)).splitlines()[5]
    assert words(line) == ["FAILED", "recall[class_0]", ">=", "0.95", "0.9000", "-0.05", "0.5958–0.9821", "10"]


def test_why_a_gate_could_not_be_decided_is_said() -> None:
    text = " ".join(words(shown(multiclass(*JUDGED))))
    assert "latency.single.p99_9_ms <= 10: insufficient: 3688 values bound this percentile, got 1000" in text


def test_a_gate_without_value_says_why() -> None:
    assert "log_loss <= 1: the model puts out labels only" in shown(multiclass("log_loss <= 1"))


@pytest.mark.parametrize(
    ("gates", "line"),
    [
        ((), " UNGATED   made: the job has no gates, nothing was judged"),
        (("accuracy >= 0.9",), " PASSED   made: 1 passed of 1 gate"),
        (("latency.single.p99_9_ms <= 10",), " INCONCLUSIVE   made: 1 inconclusive of 1 gate"),
    ],
)
def test_the_first_line_counts_the_gates(gates: tuple[str, ...], line: str) -> None:
    assert shown(multiclass(*gates)).splitlines()[0] == line


def test_too_many_bad_rows_are_told_with_files_and_counts() -> None:
    coverage = Coverage(planned=5, evaluated=2, rejected_rows={(0, "null_label"): 1, (1, "nan_score"): 2})
    made = report(replace(label_tally([[1, 0], [0, 1]]), coverage=coverage))
    text = " ".join(words(shown(made)))
    assert "INCOMPLETE made: 3 bad rows in 2 files, 0 allowed (data/b.parquet: 2, data/a.parquet: 1)" in text


def test_coverage_below_its_gate_is_told() -> None:
    coverage = Coverage(planned=4, evaluated=2, rejected_rows={(0, "null_label"): 2})
    made = report(replace(label_tally([[1, 0], [0, 1]]), coverage=coverage), "coverage >= 1", keys={"data": ALLOWED})
    assert "INCOMPLETE   made: coverage fails its gate; 1 failed of 1 gate" in shown(made)


ALLOWED = {"max_bad_rows": 9}


def test_a_binary_task_names_positive_class_and_threshold() -> None:
    assert "binary, 2 classes, positive class dog, threshold 0.5; 200 rows evaluated" in shown(binary())


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("made", [binary(*JUDGED[:1]), multiclass(*JUDGED), odd_report()], ids=["2", "3", "odd"])
def test_no_line_is_wider_than_the_terminal(width: int, made: dict[str, Any]) -> None:
    assert max(cell_len(line) for line in shown(made, width).splitlines()) <= width


def test_no_number_is_broken_in_80_columns() -> None:
    lines = shown(multiclass(*JUDGED, single=milliseconds(4_000))).splitlines()
    table = [line for line in lines if words(line)[:1] in (["p50"], ["p99"], ["p99.9"], ["max"])]
    assert [len(words(line)) for line in table] == [5, 5, 5, 3]


def test_a_percentile_that_too_few_values_bound_is_marked() -> None:
    line = next(line for line in shown(multiclass()).splitlines() if line.startswith("p99.9"))
    assert words(line)[2] == words(line)[4] == "insufficient"


@pytest.mark.parametrize("seen", ["[red]x[/red]", "<script>x</script>", "🐈 猫", "\\x1b[2J", "two\\nlines"])
def test_class_names_are_shown_inert(seen: str) -> None:
    text = shown(odd_report(), 120)
    assert seen in text
    assert "\x1b" not in text


def test_a_class_name_of_ten_thousand_characters_is_cut() -> None:
    assert "x" * 100 not in shown(odd_report()).replace("\n", "")


def test_names_that_look_like_markup_get_no_colour() -> None:
    assert "[red]x[/red]" in coloured(odd_report()).replace("\n", "")


def test_colours_are_used_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1;31mFAILED" in coloured(multiclass(*JUDGED))


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert not any(f"{colour}m" in coloured(multiclass(*JUDGED)) for colour in range(30, 38))


def test_a_matrix_that_fits_is_shown() -> None:
    assert "true \\ predicted" in shown(multiclass())


@pytest.mark.parametrize("size", [20, 101], ids=["too wide", "too many"])
def test_instead_of_a_matrix_that_does_not_fit_the_most_frequent_confusions_are_shown(size: int) -> None:
    counts = np.eye(size, dtype=np.int64) * 10**9
    counts[3, 4], counts[5, 0], counts[5, 1] = 1_000_000, 7, 8
    lines = shown(report(label_tally(counts))).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("most confused: true class"))
    assert [words(line) for line in lines[at + 2 : at + 5]] == [
        ["class_3", "class_4", "1,000,000"],
        ["class_5", "class_1", "8"],
        ["class_5", "class_0", "7"],
    ]


def test_a_model_that_confuses_nothing_says_so() -> None:
    assert "No row is confused with another class." in shown(report(label_tally(np.eye(21, dtype=int))))


def test_classes_come_worst_first_and_only_twenty_of_many() -> None:
    counts = np.eye(30, dtype=int) * 10
    counts[7, 8] = 9
    lines = shown(report(label_tally(counts, names(30)))).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("the 20 classes of worst f1"))
    assert [words(line)[0] for line in lines[at + 2 : at + 4]] == ["class_7", "class_8"]
    assert not lines[at + 22]


def test_an_undefined_metric_shows_its_reason() -> None:
    line = next(line for line in shown(multiclass()).splitlines() if line.startswith("roc_auc"))
    assert words(line)[1] == "–"


def test_findings_are_shown() -> None:
    finding = {"severity": "warning", "code": "bound_by_order", "text": "[b]order[/b] of columns"}
    assert "warning: [b]order[/b] of columns" in shown(multiclass(findings=[finding]))


def test_coverage_is_shown_as_a_sum() -> None:
    coverage = Coverage(planned=7, evaluated=2, unlabelled=1, filtered=1, rejected_rows={(0, "null_label"): 3})
    text = shown(report(replace(label_tally([[1, 0], [0, 1]]), coverage=coverage)))
    assert "7 rows planned = 2 evaluated + 1 unlabelled + 1 filtered + 3 null_label; 2 of 2 " in text


def test_the_first_shards_that_were_left_out_are_shown_with_the_reason() -> None:
    shards = [
        {"shard": i, "rows": 10, "files": ["f"], "reason": f"page {i} is corrupt", "fault": "shard"} for i in range(5)
    ]
    lines = shown(multiclass(quarantined=shards)).splitlines()
    assert [line for line in lines if line.startswith("left out")] == [
        "left out: shard 0, 10 rows: page 0 is corrupt",
        "left out: shard 1, 10 rows: page 1 is corrupt",
        "left out: shard 2, 10 rows: page 2 is corrupt",
        "left out: 2 more",
    ]


def test_the_verdict_alone_shows_no_more_than_the_gates() -> None:
    assert shown(multiclass(*JUDGED), draw=print_verdict) in shown(multiclass(*JUDGED))
    assert "quality" not in shown(multiclass(*JUDGED), draw=print_verdict)
