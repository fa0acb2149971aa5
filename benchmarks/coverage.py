"""How often intervals at 95% hold the truth: python -m benchmarks.coverage [--sets 1000] [--out FILE]

Data sets are drawn from populations whose metrics are known to four digits or so, from ten million rows; each is
reported as a run would report it, and every interval is held against the truth. Prints a table in Markdown: share of
data sets whose interval holds it, by metric and population, with a star where more than 5% of the intervals carry a
caution. Ends with 1 if one without star lies outside of 92% to 98%, but for intervals that say that they are too wide.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ortbatch.job import MetricRef
from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.operating import Steps
from ortbatch.metrics.operating_metrics import point
from ortbatch.metrics.resample import Resample
from ortbatch.metrics.scores import ScoreHistogram, joint_cells
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.tally import CONFIDENCE, RANKS, Tally
from ortbatch.report.quality import quality_section

LOW, HIGH = 0.92, 0.98
TRUTH_ROWS = 10_000_000
RARELY = 0.05
TOO_WIDE = ("mean_of_limits",)
Rows = tuple[NDArray[np.int64], NDArray[np.float64]]
ASKED = (
    MetricRef("recall_at_precision", 0.8),
    MetricRef("precision_at_recall", 0.8),
    MetricRef("recall_at_fpr", 0.05),
    MetricRef("precision_at_top", 0.1),
)


@dataclass(frozen=True)
class Population:
    """Rows that can be drawn: (true classes int64[N], log-odds float64[N], or logits float64[N, C])."""

    name: str
    rows: int
    draw: Callable[[np.random.Generator, int], Rows]
    classes: int = 2


def binary(share: float, apart: float) -> Callable[[np.random.Generator, int], Rows]:
    """Normal log-odds of two classes."""

    def draw(rng: np.random.Generator, rows: int) -> Rows:
        true = (rng.random(rows) < share).astype(np.int64)
        return true, rng.normal(apart * (2 * true - 1) + np.log(share / (1 - share)) / 2, 1.5)

    return draw


def many(shares: tuple[float, ...], apart: float) -> Callable[[np.random.Generator, int], Rows]:
    """Normal logits; the own class's is higher."""

    def draw(rng: np.random.Generator, rows: int) -> Rows:
        true = rng.choice(len(shares), rows, p=shares)
        logits = rng.normal(0, 1, (rows, len(shares)))
        logits[np.arange(rows), true] += apart
        return true, logits

    return draw


POPULATIONS = (
    Population("binary, 1,000 rows, half positive", 1_000, binary(0.5, 1.0)),
    Population("binary, 1,000 rows, 6% positive", 1_000, binary(0.06, 1.5)),
    Population("binary, 1,000 rows, nearly perfect", 1_000, binary(0.3, 4.0)),
    Population("binary, 20,000 rows, 1% positive", 20_000, binary(0.01, 2.0)),
    Population("5 classes, 1,000 rows", 1_000, many((0.4, 0.3, 0.15, 0.09, 0.06), 2.0), 5),
    Population("5 classes, 1,000 rows, nearly perfect", 1_000, many((0.2,) * 5, 5.0), 5),
    Population("5 classes, 5,000 rows", 5_000, many((0.4, 0.3, 0.15, 0.1, 0.05), 1.5), 5),
)


def tally_of(rows: Rows, classes: int) -> Tally:
    """What a run would count of these rows."""
    true, scores = rows
    names = tuple(f"class_{index}" for index in range(classes))
    half = (np.arange(true.size) % 2).astype(np.uint8)
    if classes == 2:
        empty, odds = Tally.empty(names, names[1:]), scores[:, None]
        own = expit(np.where(true == 1, scores, -scores))
        loss, error, predicted = -np.log(own), (1 - own) ** 2, (scores >= 0).astype(np.int64)
        extra: dict[str, Any] = {}
    else:
        empty, predicted = Tally.empty(names, names), scores.argmax(axis=1)
        odds, probabilities = _odds(scores)
        own = probabilities[np.arange(true.size), true]
        loss = -np.log(own)
        error = (probabilities**2).sum(axis=1) - own**2 + (1 - own) ** 2
        rank = (probabilities > own[:, None]).sum(axis=1)
        sure = odds[np.arange(true.size), predicted]
        cells = joint_cells(sure, predicted == true, half, empty.confidence.bins)
        extra = {
            "confidence": ScoreHistogram.of_cells(CONFIDENCE, empty.confidence.bins, [cells]),
            "ranks": Cells.of(empty.ranks.shape, np.minimum(rank, RANKS)),
            "log_loss_squares": FixedSum.of(loss**2),
            "brier_squares": FixedSum.of(error**2),
        }
    truth = true[:, None] == np.arange(classes)[-odds.shape[1] :]
    return replace(
        empty,
        coverage=Coverage(true.size, true.size),
        confusion=ConfusionMatrix.of(names, true, predicted),
        scores=ScoreHistogram.of(empty.scores.curves, empty.scores.bins, odds, truth, half),
        log_loss=FixedSum.of(loss),
        brier=FixedSum.of(error),
        **extra,
    )


def _odds(logits: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    return np.log(probabilities) - np.log1p(-probabilities), probabilities


def estimates(tally: Tally, classes: int) -> dict[str, Any]:
    """Metric → estimate, of a quality section and of one class."""
    quality = quality_section(tally, 1 if classes == 2 else None)
    found = {name: item for name, item in quality.items() if hasattr(item, "ci")}
    last = quality["per_class"][-1]
    found |= {f"{name}[{last['class']}]": item for name, item in last.items() if hasattr(item, "ci")}
    if classes == 2:
        steps = Steps.of(tally.scores.curve(0))
        resample = Resample.of(steps)
        found |= {str(ref): point(ref, steps, resample).estimate for ref in ASKED}
    return found


def coverage_of(population: Population, sets: int) -> dict[str, dict[str, Any]]:
    """Metric → share of data sets whose interval holds the truth, share that carries a caution, and method."""
    rng = np.random.default_rng(6)
    truth = _truth(population)
    held: dict[str, list[tuple[bool, bool]]] = {}
    methods: dict[str, str] = {}
    for _ in range(sets):
        found = estimates(tally_of(population.draw(rng, population.rows), population.classes), population.classes)
        for name, estimate in found.items():
            if estimate.ci is not None and name in truth:
                holds = estimate.ci[0] <= truth[name] <= estimate.ci[1]
                held.setdefault(name, []).append((holds, estimate.caution is not None))
                methods.setdefault(name, estimate.method)
    shares = {name: np.mean(pairs, axis=0).tolist() for name, pairs in held.items()}
    return {
        name: {"covered": covered, "cautioned": cautioned, "method": methods[name]}
        for name, (covered, cautioned) in shares.items()
    }


def coverage_at(place: int, sets: int) -> dict[str, dict[str, Any]]:
    """The same of the population at a place."""
    return coverage_of(POPULATIONS[place], sets)


def _truth(population: Population) -> dict[str, float]:
    """Values of the whole population: of many rows, merged."""
    rng = np.random.default_rng(7)
    part = 1_000_000
    parts = [tally_of(population.draw(rng, part), population.classes) for _ in range(TRUTH_ROWS // part)]
    whole = estimates(Tally.merged(parts), population.classes)
    return {name: estimate.value for name, estimate in whole.items() if estimate.value is not None}


def main() -> int:
    """0 if the intervals cover what they promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    # Classes of a population are closures, so processes are told its place.
    with ProcessPoolExecutor() as pool:
        each = pool.map(coverage_at, range(len(POPULATIONS)), repeat(options.sets))
        found = {population.name: lines for population, lines in zip(POPULATIONS, each, strict=True)}
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(_table(found))
    wrong = [
        f"{population}: {name}: {line['covered']:.3f} ({line['method']})"
        for population, lines in found.items()
        for name, line in lines.items()
        if not LOW <= line["covered"] <= HIGH and line["method"] not in TOO_WIDE and line["cautioned"] < RARELY
    ]
    print("\n".join(wrong))
    return int(bool(wrong))


def _table(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Markdown: a line a metric, a column a population."""
    names = list(dict.fromkeys(name for lines in found.values() for name in lines))
    head = f"| metric | method | {' | '.join(found)} |\n|---|---|{'---:|' * len(found)}"
    lines = []
    for name in names:
        method = next(lines_of[name]["method"] for lines_of in found.values() if name in lines_of)
        cells = [_cell(of[name]) if name in of else "" for of in found.values()]
        lines.append(f"| `{name}` | `{method}` | {' | '.join(cells)} |")
    return "\n".join([head, *lines])


def _cell(line: Mapping[str, Any]) -> str:
    """A share in three digits; with a star where many intervals carry a caution."""
    return f"{line['covered']:.3f}{'' if line['cautioned'] < RARELY else '*'}"


if __name__ == "__main__":
    raise SystemExit(main())
