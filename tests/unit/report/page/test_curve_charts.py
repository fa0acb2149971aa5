"""Pictures of thresholds: the frame is the unit square, and the groups of scores hold every row once."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from ortbatch.metrics.scores import ScoreHistogram
from ortbatch.report.encode import plain
from ortbatch.report.page.curve_charts import HEIGHT, WIDTH, pictures, scores_figure
from ortbatch.report.thresholds import thresholds_section


def curve(true: list[int] | Any, log_odds: Any) -> dict[str, Any]:
    hit = np.array(true) == 1
    scores = ScoreHistogram.of(("dog",), 65_536, np.array(log_odds, float)[:, None], hit[:, None], hit.astype(np.uint8))
    return plain(thresholds_section(scores, 0.5, []))["curves"][0]  # type: ignore[no-any-return]


def drawn(svg: str) -> list[tuple[float, float]]:
    """Corners of the longest line of a picture, in its frame."""
    longest = max(re.findall(r'<g class="mark-line[^>]*><path[^>]* d="(M[^"]*)"', svg), key=len)
    numbers = [float(text) for text in re.findall(r"-?[\d.]+", longest)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def test_a_roc_curve_goes_through_its_points_from_the_origin() -> None:
    found = curve([0, 1, 0, 1], [-2, -1, 1, 2])
    roc = next(picture for picture in pictures([found], None) if picture.kind == "roc")
    points = found["points"]
    wanted = [(0.0, 0.0), *zip(points["fpr"][::-1], points["recall"][::-1], strict=True)]
    corners = [(x / WIDTH, 1 - y / HEIGHT) for x, y in drawn(str(roc.svg))]
    assert np.array(corners) == pytest.approx(np.array(wanted), abs=0.002)


def test_the_frame_has_the_size_that_the_script_is_told() -> None:
    for picture in pictures([curve([0, 1, 0, 1], [-2, -1, 1, 2])], None):
        frame = re.search(r'class="background"[^>]*d="M0,0h([\d.]+)v([\d.]+)', str(picture.svg))
        assert frame is not None
        assert [float(side) for side in frame.groups()] == [WIDTH, HEIGHT]


def test_what_the_rows_do_not_define_is_not_drawn() -> None:
    assert list(pictures([curve([0, 0], [-1, 1])], None)) == []
    assert [picture.kind for picture in pictures([curve([1, 1], [-1, 1])], None)] == ["pr"]


def test_the_jobs_threshold_is_marked_where_it_is_defined() -> None:
    found = curve([0, 1, 0, 1], [-2, -1, 1, 2])
    own = {"precision": None, "recall": 0.0, "fpr": 0.0}
    marks = {picture.kind: str(picture.svg).count('<g class="mark-symbol') for picture in pictures([found], own)}
    assert marks == {"pr": 0, "roc": 1}


@pytest.mark.parametrize("spread", [0.001, 1.0, 30.0, 60.0])
def test_groups_of_scores_hold_every_row_once(spread: float) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 500)
    log_odds = rng.normal(0, spread, 500)
    log_odds[:4] = [-math.inf, math.inf, -math.inf, math.inf]
    true[:4] = [0, 0, 1, 1]
    made_of = scores_figure(curve(true, log_odds))
    assert made_of is not None
    rows = made_of[0].table.rows
    assert [sum(row[at].value or 0 for row in rows) for at in (2, 3)] == [(true == 0).sum(), (true == 1).sum()]
    assert len(rows) <= 41


def test_groups_of_scores_are_those_of_a_plain_count() -> None:
    rng = np.random.default_rng(1)
    true = rng.integers(0, 2, 500)
    log_odds = rng.normal(true, 1)
    made_of = scores_figure(curve(true, log_odds))
    assert made_of is not None
    scores = 1 / (1 + np.exp(-log_odds))
    for low, high, rest, own in made_of[0].table.rows:
        inside = (scores >= low.value) & (scores < high.value)
        assert [rest.value, own.value] == [(inside & (true == 0)).sum(), (inside & (true == 1)).sum()]


def test_scores_of_one_kind_alone_are_not_drawn() -> None:
    assert scores_figure(curve([1, 1], [0.0, 1.0])) is None
