"""The slider over thresholds against a brute force over the raw scores: NumPy over 100,000 rows, none of our code."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from ortbatch.api import Options, run_job
from ortbatch.job import Job
from tests.browser.explorer import page_of, read, slide, threshold_of
from tests.browser.reports import Reports
from tests.models import linear_model

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROWS, POSITIONS = 100_000, 20
OWN = 0.37  # on no edge of a bin
CLASSES = ("legit", "fraud")


@dataclass(frozen=True)
class Raw:
    """Rows by themselves, the report of them, and its page."""

    scores: NDArray[np.float64]
    hit: NDArray[np.bool_]
    report: dict[str, Any]
    url: str

    def counts(self, threshold: float) -> dict[str, int]:
        called = self.scores >= threshold
        return {
            "tp": int((called & self.hit).sum()), "fp": int((called & ~self.hit).sum()),
            "fn": int((~called & self.hit).sum()), "tn": int((~called & ~self.hit).sum()),
        }  # fmt: skip

    @property
    def stored(self) -> list[float]:
        return sorted({*self.report["thresholds"]["curves"][0]["points"]["threshold"], OWN})


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Raw:
    """A run over 100,000 rows, one in twelve of the class."""
    folder = tmp_path_factory.mktemp("explorer")
    model = linear_model(folder / "model.onnx", 2, 2)
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, 2)).astype(np.float32)
    out = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0].astype(float)
    scores = 1 / (1 + np.exp(out[:, 0] - out[:, 1]))
    hit = rng.random(ROWS) < scores**3 * 0.4
    (folder / "data").mkdir()
    pq.write_table(pa.table({"a": x[:, 0], "b": x[:, 1], "label": hit.astype(np.int64)}), folder / "data" / "a.parquet")
    job = {
        "name": "explorer", "model": {"path": "model.onnx", "inputs": {"x": ["a", "b"]}}, "threshold": OWN,
        "data": {"path": "data", "label": "label", "classes": list(CLASSES), "label_is": "index", "positive": "fraud"},
        "latency": {"max_seconds": 0.2},
    }  # fmt: skip
    outcome = run_job(Job.from_mapping(job, folder), Options(run_dir=str(folder / "run"), engine="inline"))
    report = json.loads(Path(outcome.report.path).read_text())
    return Raw(scores, hit, report, page_of(report, folder / "page"))


def places(raw: Raw) -> list[int]:
    return np.linspace(0, len(raw.stored) - 1, POSITIONS).astype(int).tolist()


def test_the_confusion_matrix_is_that_of_brute_force_at_twenty_positions(page: Page, raw: Raw) -> None:
    page.goto(raw.url)
    for place in places(raw):
        shown = slide(page, place)
        assert shown["threshold"] == raw.stored[place]
        assert {kind: shown[kind] for kind in ("tp", "fp", "fn", "tn")} == raw.counts(raw.stored[place])


def test_rates_are_those_of_brute_force_at_twenty_positions(page: Page, raw: Raw) -> None:
    page.goto(raw.url)
    for place in places(raw):
        shown, called = slide(page, place), raw.scores >= raw.stored[place]
        wrong = int((called != raw.hit).sum())
        precision, recall, fpr = raw.hit[called].mean(), called[raw.hit].mean(), called[~raw.hit].mean()
        wanted = {
            "precision": precision, "recall": recall, "fpr": fpr, "specificity": 1 - fpr,
            "f1": 2 * raw.hit[called].sum() / (2 * raw.hit[called].sum() + wrong), "per_1000": 1000 * called.mean(),
        }  # fmt: skip
        assert {name: shown[name] for name in wanted} == pytest.approx(wanted, abs=1e-9)


def test_intervals_are_wilsons_to_the_last_digits(page: Page, raw: Raw) -> None:
    page.goto(raw.url)
    for place in places(raw):
        shown, counts = slide(page, place), raw.counts(raw.stored[place])
        for name, of in (("precision", counts["tp"] + counts["fp"]), ("recall", counts["tp"] + counts["fn"])):
            wanted = proportion_confint(counts["tp"], of, 0.05, "wilson")
            assert (shown[f"{name}_low"], shown[f"{name}_high"]) == pytest.approx(wanted, abs=1e-12)


def test_the_cost_is_that_of_brute_force(page: Page, raw: Raw) -> None:
    page.goto(raw.url)
    page.locator("[data-cost=fn]").fill("10.5")
    page.locator("[data-cost=fp]").fill("0.25")
    for place in places(raw):
        shown, counts = slide(page, place), raw.counts(raw.stored[place])
        wanted = 10.5 * counts["fn"] + 0.25 * counts["fp"]
        assert shown["cost"] == pytest.approx(wanted, abs=1e-6)
        assert shown["cost_per_1000"] == pytest.approx(1000 * wanted / ROWS, abs=1e-9)


@pytest.mark.parametrize("costs", [(1, 1), (20, 1), (1, 8), (0, 1), (3, 0)], ids=str)
def test_the_cheapest_threshold_is_that_of_brute_force(page: Page, raw: Raw, costs: tuple[float, float]) -> None:
    page.goto(raw.url)
    for kind, cost in zip(("fn", "fp"), costs, strict=True):
        page.locator(f"[data-cost={kind}]").fill(str(cost))
    page.locator("[data-cheapest]").click()
    counts = [raw.counts(threshold) for threshold in raw.stored]
    prices = [costs[0] * at["fn"] + costs[1] * at["fp"] if at["tp"] + at["fp"] else math.inf for at in counts]
    highest = max(place for place, price in enumerate(prices) if price == min(prices))
    assert read(page)["threshold"] == raw.stored[highest]
    assert f"--cost fn={costs[0]},fp={costs[1]}" in page.locator("[data-use]").inner_text()


def test_calling_nothing_is_named_where_it_costs_less(page: Page, raw: Raw) -> None:
    page.goto(raw.url)
    page.locator("[data-cost=fp]").fill("1000")
    page.locator("[data-cheapest]").click()
    assert f"would cost less: {raw.hit.sum():,}" in page.locator("[data-note]").inner_text()


@pytest.mark.parametrize("costs", [("", "1"), ("-1", "1"), ("0", "0")], ids=str)
def test_costs_that_are_none_choose_nothing(page: Page, raw: Raw, costs: tuple[str, str]) -> None:
    page.goto(raw.url)
    for kind, cost in zip(("fn", "fp"), costs, strict=True):
        page.locator(f"[data-cost={kind}]").fill(cost)
    page.locator("[data-cheapest]").click()
    assert read(page)["threshold"] == OWN
    assert "Give two costs" in page.locator("[data-note]").inner_text()
    assert read(page)["cost"] == (0 if costs == ("0", "0") else None)


def test_it_starts_at_the_threshold_of_the_job_as_the_run_counted_it(page: Page, raw: Raw) -> None:
    page.goto(raw.url)
    shown, (rest, own) = read(page), raw.report["confusion_matrix"]["counts"]
    assert shown["threshold"] == OWN
    assert [shown[kind] for kind in ("tp", "fp", "fn", "tn")] == [own[1], rest[1], own[0], rest[0]]
    assert [shown["precision"], shown["recall"]] == [raw.report["quality"][m]["value"] for m in ("precision", "recall")]


def test_arrow_keys_move_one_stored_threshold_and_end_keys_to_the_ends(page: Page, raw: Raw) -> None:
    page.goto(raw.url)
    start = raw.stored.index(OWN)
    page.locator("[data-slider]").focus()
    for key, place in (
        ("ArrowRight", start + 1),
        ("ArrowLeft", start),
        ("ArrowLeft", start - 1),
        ("Home", 0),
        ("End", -1),
    ):
        page.keyboard.press(key)
        assert threshold_of(page) == raw.stored[place]


@pytest.mark.parametrize("asked", [0.5, 0.9, 0.612345])
def test_a_number_goes_to_the_stored_threshold_at_or_below_it(page: Page, raw: Raw, asked: float) -> None:
    page.goto(raw.url)
    page.locator("[data-threshold]").fill(str(asked))
    page.keyboard.press("Enter")
    assert threshold_of(page) == max(threshold for threshold in raw.stored if threshold <= asked)


def test_a_number_that_is_stored_goes_to_itself(page: Page, raw: Raw) -> None:
    page.goto(raw.url)
    for place in (0, 77, len(raw.stored) - 1):
        page.locator("[data-threshold]").fill(repr(raw.stored[place]))
        page.keyboard.press("Enter")
        assert threshold_of(page) == raw.stored[place]


def test_a_number_below_all_goes_to_the_lowest_and_none_changes_nothing(page: Page, raw: Raw) -> None:
    page.goto(raw.url)
    for text, place in (("", raw.stored.index(OWN)), ("0", 0), ("", 0), ("1", -1)):
        page.locator("[data-threshold]").fill(text)
        page.keyboard.press("Enter")
        assert threshold_of(page) == raw.stored[place]


def test_buttons_go_to_the_recommended_thresholds_and_back_to_the_jobs(page: Page, raw: Raw) -> None:
    page.goto(raw.url)
    for rule, pick in raw.report["thresholds"]["curves"][0]["recommended"].items():
        button = page.locator(f'[data-rule="{rule}"]')
        assert button.is_disabled() is (pick["threshold"] is None)
        if pick["threshold"] is not None:
            button.click()
            shown = read(page)
            assert shown["threshold"] == pick["threshold"]
            assert {kind: shown[kind] for kind in pick["confusion"]} == pick["confusion"]
    page.locator("[data-own]").click()
    assert threshold_of(page) == OWN


def test_the_command_that_chooses_goes_when_the_slider_moves(page: Page, raw: Raw) -> None:
    page.goto(raw.url)
    page.locator('[data-rule="precision_at_recall(0.8)"]').click()
    said = page.locator("[data-use]").inner_text()
    assert f"ortbatch run JOB --set threshold={read(page)['threshold']!r}" in said
    assert "ortbatch thresholds RUN --min-recall 0.8" in said
    slide(page, 3)
    assert "ortbatch thresholds" not in page.locator("[data-use]").inner_text()


def test_what_changed_is_said_in_one_sentence(page: Page, raw: Raw) -> None:
    page.goto(raw.url)
    slide(page, 40)
    at = raw.counts(raw.stored[40])
    said = page.locator("[aria-live=polite][data-said]").inner_text()
    called, own = at["tp"] + at["fp"], at["tp"] + at["fn"]
    assert f"{called:,} of {ROWS:,} rows are called fraud: {at['tp']:,} rightly, {at['fp']:,} wrongly" in said
    assert f"{at['fn']:,} of {own:,} rows of fraud are missed" in said


FRAME = """figure => {
  const box = (it) => it.getBoundingClientRect();
  const lines = [...figure.querySelectorAll(".role-axis-grid line")].map(box);
  const xs = lines.filter((it) => it.width < it.height).map((it) => it.x + it.width / 2);
  const ys = lines.filter((it) => it.height < it.width).map((it) => it.y + it.height / 2);
  const at = box(figure.querySelector("circle.marker"));
  return {left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys),
    x: at.x + at.width / 2, y: at.y + at.height / 2};
}"""


@pytest.mark.parametrize(("plot", "across", "up"), [("pr", "recall", "precision"), ("roc", "fpr", "recall")])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_marker_lies_where_the_axes_say(page: Page, raw: Raw, plot: str, across: str, up: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(raw.url)
    for place in places(raw):
        shown = slide(page, place)
        at = page.locator(f"[data-plot={plot}]").evaluate(FRAME)
        assert at["x"] == pytest.approx(at["left"] + shown[across] * (at["right"] - at["left"]), abs=1)
        assert at["y"] == pytest.approx(at["bottom"] - shown[up] * (at["bottom"] - at["top"]), abs=1)


NEAREST = """figure => {
  const circle = figure.querySelector("circle.marker");
  const [x, y] = [Number(circle.getAttribute("cx")), Number(circle.getAttribute("cy"))];
  const curves = [...figure.querySelectorAll(".mark-line.role-mark path")];
  const [curve] = curves.sort((a, b) => b.getAttribute("d").length - a.getAttribute("d").length);
  const length = curve.getTotalLength();
  const steps = [...Array(800).keys()].map((at) => curve.getPointAtLength(length * at / 799));
  return Math.min(...steps.map((it) => Math.hypot(it.x - x, it.y - y)));
}"""


@pytest.mark.parametrize("plot", ["pr", "roc"])
def test_the_marker_lies_on_the_curve_that_altair_drew(page: Page, raw: Raw, plot: str) -> None:
    page.goto(raw.url)
    for place in places(raw):
        slide(page, place)
        assert page.locator(f"[data-plot={plot}]").evaluate(NEAREST) < 1


def test_of_many_classes_one_is_chosen_and_its_counts_are_its_own(page: Page, reports: Reports) -> None:
    report = reports["digits"].report
    page.goto(reports["digits"].url)
    for place, curve in enumerate(report["thresholds"]["curves"]):
        page.locator("[data-class]").select_option(str(place))
        for at in (0, len(curve["points"]["tp"]) // 2, len(curve["points"]["tp"]) - 1):
            shown = slide(page, at)
            assert {key: shown[key] for key in ("threshold", "tp", "fp", "fn", "tn")} == {
                key: curve["points"][key][at] for key in ("threshold", "tp", "fp", "fn", "tn")
            }


def test_of_many_classes_the_command_names_the_class(page: Page, reports: Reports) -> None:
    page.goto(reports["digits"].url)
    page.locator("[data-class]").select_option("8")
    page.locator('[data-rule="best_f1"]').click()
    assert "ortbatch thresholds RUN --class 8" in page.locator("[data-use]").inner_text()
    assert "--set threshold" not in page.locator("[data-use]").inner_text()


def test_nothing_is_kept_when_the_page_is_loaded_again(page: Page, raw: Raw) -> None:
    page.goto(raw.url)
    page.locator("[data-cost=fn]").fill("99")
    slide(page, 0)
    page.reload()
    assert threshold_of(page) == OWN
    assert page.locator("[data-cost=fn]").input_value() == "1"
    assert page.evaluate("[localStorage.length, sessionStorage.length, location.hash]") == [0, 0, ""]
