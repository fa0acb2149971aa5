"""The page of two runs compared: the verdict first, and every number that of the comparison."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ortbatch.earlier import limits_of
from ortbatch.metrics.pairs import PairedRows
from ortbatch.report.compare import compare_reports
from ortbatch.report.page.compare_page import compare_page
from tests.unit.report.made import label_tally, names, report, timed
from tests.unit.report.page.markup import parsed

OLD, NEW = [[90, 10, 0], [20, 170, 10], [0, 0, 300]], [[80, 20, 0], [2, 188, 10], [0, 3, 297]]
CELL = re.compile(r'<data value="([^"]*)" data-key="([^"]*)"')
ODD = ("<script>alert(1)</script>", "\"'`><b>", "\u202e" + "x" * 10_000)


def compared(
    old: Any = OLD,
    new: Any = NEW,
    pairs: PairedRows | str = "no predictions were kept",
    classes: Sequence[str] = (),
    **limits: float,
) -> dict[str, Any]:
    chosen = classes or names(len(old))
    reports = [report(timed(label_tally(counts, chosen)), id=id) for counts, id in ((old, "run-a"), (new, "run-b"))]
    asked = limits_of(
        {
            name.replace("recall_", "recall[") + ("]" if "recall_" in name else ""): loss
            for name, loss in limits.items()
        },
        None,
    )
    return dict(compare_reports(*reports, pairs, asked).data)


def paired() -> PairedRows:
    both = np.array([[75, 15, 5, 5], [168, 2, 20, 10], [297, 3, 0, 0]])
    return PairedRows(names(3), both, 0, 2, 600, 40)


def text_of(html: str) -> str:
    return " ".join(" ".join(parsed(html).texts).split())


def banner(html: str) -> str:
    return text_of(html.partition("<header>")[2].partition("</header>")[0])


def test_the_verdict_on_limits_stands_at_the_top() -> None:
    top = banner(compare_page(compared(accuracy=0.5, recall_class_0=0.01)))
    assert top.startswith("failed made: run-b against run-a")
    assert top.index("recall[class_0] versus OLD") < top.index("accuracy versus OLD")


@pytest.mark.parametrize(("loss", "word"), [(0.5, "passed"), (0.0, "failed")])
def test_the_word_of_the_verdict_follows_the_exit_code(loss: float, word: str) -> None:
    data = compared(recall_class_0=loss)
    assert banner(compare_page(data)).split()[0] == word
    assert data["exit_code"] == {"passed": 0, "failed": 1}[word]


def test_without_limits_nothing_is_judged() -> None:
    html = compare_page(compared())
    assert banner(html).startswith("compared")
    assert 'id="limits"' not in html


def test_every_metric_with_a_difference_has_that_of_the_comparison() -> None:
    data = compared()
    found = {key: value for value, key in CELL.findall(compare_page(data))}
    wanted = {
        entry["metric"]: repr(entry["difference"]) for entry in data["metrics"] if entry["difference"] is not None
    }
    assert found == wanted


def test_how_many_moved_is_counted_at_the_top() -> None:
    data = compared()
    of_all = [entry["verdict"] for entry in data["metrics"] if "[" not in entry["metric"]]
    assert f"{of_all.count('not significant')} not significant" in banner(compare_page(data))


def test_those_that_moved_come_first() -> None:
    rows = re.findall(
        r'<td class="(?:bad|good|dim)">(worse|better|not significant|cannot be told)<',
        compare_page(compared()).partition('id="classes"')[2],
    )
    assert rows == sorted(rows, key=("worse", "better", "not significant", "cannot be told").index)
    assert {"worse", "better"} <= set(rows)


def test_that_rows_were_not_paired_is_said_with_the_reason() -> None:
    html = compare_page(compared())
    assert "Unpaired, as independent samples of rows: no predictions were kept." in banner(html)
    assert 'id="pairs"' not in html


def test_paired_rows_show_who_is_right() -> None:
    data = compared(pairs=paired())
    text = text_of(compare_page(data))
    assert "Paired: accuracy and recall are compared on the same 600 rows" in text
    assert f"new right {data['pairs']['both_right']} {data['pairs']['only_new_right']}" in text
    assert f"new wrong {data['pairs']['only_old_right']} {data['pairs']['both_wrong']}" in text
    assert "compared row by row" in text


def test_what_changed_is_listed() -> None:
    data = compared() | {
        "changed": [
            {"what": "model sha256", "old": "a" * 64, "new": "b" * 64},
            {"what": "job.x", "old": None, "new": [1]},
        ]
    }
    text = text_of(compare_page(data))
    assert f"model sha256 {'a' * 12} {'b' * 12}" in text
    assert "job.x nothing [1]" in text


def test_nothing_that_changed_is_said() -> None:
    assert "Nothing: the same model, data, job, versions and processor." in text_of(
        compare_page(compared() | {"changed": []})
    )


def test_values_that_a_side_lacks_are_dashes_with_the_reason() -> None:
    data = compared(old=[[1, 1], [0, 0]], new=[[1, 1], [1, 1]])
    entry = next(entry for entry in data["metrics"] if entry["metric"] == "recall[class_1]")
    text = text_of(compare_page(data))
    assert "recall[class_1] cannot be told – – 0.5000" in text
    assert entry["why"][:60] in text


def test_names_are_text_and_markup_is_well_formed() -> None:
    html = compare_page(compared(classes=ODD) | {"changed": [{"what": ODD[0], "old": ODD[1], "new": ODD[2]}]})
    found = parsed(html)
    assert sum(tag == "script" for tag, _ in found.elements) == 1
    assert "\u202e" not in html


@pytest.mark.parametrize("size", [2, 300])
def test_the_page_is_small_whatever_the_number_of_classes(size: int) -> None:
    counts = 30 * np.eye(size, dtype=np.int64) + np.roll(np.eye(size, dtype=np.int64), 1, axis=1)
    html = compare_page(compared(counts, counts, classes=names(size)))
    assert len(html.encode()) < 800_000


def test_what_is_left_out_of_many_classes_is_counted() -> None:
    counts = 30 * np.eye(100, dtype=np.int64) + np.roll(np.eye(100, dtype=np.int64), 1, axis=1)
    text = text_of(compare_page(compared(counts, counts, classes=names(100))))
    assert re.search(r"\d+ of 400 metrics are shown", text)
