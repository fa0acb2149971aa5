"""Operating points: what each threshold does to the rows, and which threshold does best.

`score >= threshold` is positive. A threshold is the lower edge of a score cell, so its counts are those of the rows
themselves. A threshold at which nothing is positive is never chosen: its precision is not defined. How sure we are of
what was chosen is not known here (`resample`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.curves import Curve
from ortbatch.metrics.reference import number
from ortbatch.metrics.scores import edges
from ortbatch.metrics.value import Counts

NONE = -1
"""Place of a threshold where none does what was asked."""

_OUTER_CELLS = 4
Floats = NDArray[np.float64]


class Outcomes(NamedTuple):
    """Rows of one class against the rest, at a threshold."""

    tp: int
    fp: int
    fn: int
    tn: int


@dataclass(frozen=True, eq=False)
class Steps:
    """The cells of a curve that hold rows, and what the threshold at the lower edge of each makes of all rows.

    Args:
        bins: of the histogram, which has 4 cells more.
        cells: int64[n], rising.
        negative: int64[n], rows of the rest in each.
        positive: int64[n], rows of the class in each.
    """

    bins: int
    cells: Counts
    negative: Counts
    positive: Counts

    @classmethod
    def of(cls, curve: Curve) -> Steps:
        """Those of a curve."""
        cells = np.flatnonzero(curve.negative + curve.positive)
        bins = curve.negative.size - _OUTER_CELLS
        return cls(bins, cells, curve.negative[cells], curve.positive[cells])

    @cached_property
    def tp(self) -> Counts:
        """Rows of the class at or above each cell, int64[n]."""
        return np.cumsum(self.positive[::-1])[::-1]

    @cached_property
    def fp(self) -> Counts:
        """Rows of the rest at or above each cell, int64[n]."""
        return np.cumsum(self.negative[::-1])[::-1]

    @property
    def rest(self) -> int:
        """All rows of the rest."""
        return int(self.fp[0]) if self.fp.size else 0

    @property
    def own(self) -> int:
        """All rows of the class."""
        return int(self.tp[0]) if self.tp.size else 0

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Whether a run with that threshold counts the same, bool[n].

        Above log-odds of 36 a score is 1 in float64, so a threshold of 1 takes rows of the cell below with it.
        """
        usable: NDArray[np.bool_] = ~np.isin(self.cells, unusable(self))
        return usable

    @cached_property
    def tied(self) -> NDArray[np.bool_]:
        """Whether all rows of a cell have one score, p = 0 or p = 1: bool[n]."""
        return np.isin(self.cells, (0, self.bins + _OUTER_CELLS - 1))

    def at(self, cell: int) -> Outcomes:
        """What the lower edge of any cell does, of one without rows too."""
        place = int(np.searchsorted(self.cells, cell))
        tp, fp = (int(self.tp[place]), int(self.fp[place])) if place < self.cells.size else (0, 0)
        return Outcomes(tp, fp, self.own - tp, self.rest - fp)


def unusable(steps: Steps) -> list[int]:
    """Cells whose lower edge is no threshold of known counts: p = 1, if rows lie in the cell below."""
    last = steps.bins + _OUTER_CELLS - 1
    place = int(np.searchsorted(steps.cells, last - 1))
    return [last] if place < steps.cells.size and steps.cells[place] == last - 1 else []


def thresholds(bins: int) -> Floats:
    """Lower edge of each cell as a probability, float64[bins + 4], rising; that of the second is any p above 0.

    >>> thresholds(2).round(3).tolist()
    [0.0, 0.0, 0.0, 0.5, 1.0, 1.0]
    """
    from scipy.special import expit

    lowest: Floats = expit(edges(bins))
    lowest[1] = np.nextafter(0.0, 1.0)
    return lowest


@dataclass(frozen=True)
class Aim:
    """What a threshold is chosen for; the best F1 unless one of the others is given.

    Args:
        min_recall: the best precision among thresholds with at least this recall.
        min_precision: the best recall among thresholds with at least this precision.
        max_fpr: the best recall among thresholds with at most this share of the rest called positive.
        cost: of a row of the class that is missed, and of one of the rest that is called positive; least in all.
        best: `f1`, or `youden` (recall less false positive rate).

    Raises:
        ValueError: more than one of them, or a number out of its range.

    References:
        Youden (1950), Cancer 3(1).
    """

    min_recall: float | None = None
    min_precision: float | None = None
    max_fpr: float | None = None
    cost: tuple[float, float] | None = None
    best: Literal["f1", "youden"] = "f1"

    def __post_init__(self) -> None:
        given = [name for name in ("min_recall", "min_precision", "max_fpr", "cost") if getattr(self, name) is not None]
        given += ["best"] if self.best != "f1" else []
        if len(given) > 1:
            raise ValueError(f"a threshold is chosen for one thing, got {' and '.join(given)}")
        if self.best not in ("f1", "youden"):
            raise ValueError(f"best: expected f1 or youden, got {self.best!r}")
        for floor in (self.min_recall, self.min_precision):
            if floor is not None and not 0 < floor <= 1:
                raise ValueError(f"expected a number above 0 and at most 1, got {floor:g}")
        if self.max_fpr is not None and not 0 <= self.max_fpr < 1:
            raise ValueError(f"expected a number from 0 to below 1, got {self.max_fpr:g}")
        if self.cost is not None and not (all(0 <= one < math.inf for one in self.cost) and any(self.cost)):
            raise ValueError(f"expected two costs, none below 0 and not both 0, got {self.cost[0]:g}, {self.cost[1]:g}")

    def __str__(self) -> str:
        if self.min_recall is not None:
            return f"best precision at a recall of at least {self.min_recall:g}"
        if self.min_precision is not None:
            return f"best recall at a precision of at least {self.min_precision:g}"
        if self.max_fpr is not None:
            return f"best recall at a false positive rate of at most {self.max_fpr:g}"
        if self.cost is not None:
            return f"least cost at {self.cost[0]:g} a row missed and {self.cost[1]:g} a false alarm"
        return "best F1" if self.best == "f1" else "best recall less false positive rate (Youden)"

    @property
    def needs_rest(self) -> bool:
        """Whether it is about a share of the rest."""
        return self.max_fpr is not None or self.best == "youden"


def costs(text: str) -> tuple[float, float]:
    """Read `fn=10,fp=1`, in either order.

    Raises:
        ValueError: another form.

    >>> costs("fp=1, fn=10")
    (10.0, 1.0)
    """
    pairs = [part.partition("=") for part in text.split(",")]
    named = {key.strip(): value.strip() for key, _, value in pairs}
    if len(pairs) != 2 or named.keys() != {"fn", "fp"}:
        raise ValueError(f"expected fn=A,fp=B, such as fn=10,fp=1, got {text!r}")
    return number(named["fn"]), number(named["fp"])


@dataclass(frozen=True, eq=False)
class Table:
    """Counts at n thresholds by rising threshold, of one set of rows or of many.

    Args:
        tp: float64[..., n], rows of the class at or above.
        fp: float64[..., n], rows of the rest.
        usable: bool[n].
    """

    tp: Floats
    fp: Floats
    usable: NDArray[np.bool_]

    @classmethod
    def of(cls, steps: Steps) -> Table:
        """Of all rows of a curve."""
        return cls(steps.tp.astype(np.float64), steps.fp.astype(np.float64), steps.usable)

    @property
    def own(self) -> Floats:
        """Rows of the class, float64[..., 1]."""
        return self.tp[..., :1]

    @property
    def rest(self) -> Floats:
        """Rows of the rest, float64[..., 1]."""
        return self.fp[..., :1]

    @cached_property
    def precision(self) -> Floats:
        """float64[..., n]; NaN where nothing is positive."""
        with np.errstate(invalid="ignore"):
            precision: Floats = self.tp / (self.tp + self.fp)
        return precision

    @cached_property
    def recall(self) -> Floats:
        """float64[..., n]; NaN without rows of the class."""
        with np.errstate(invalid="ignore"):
            recall: Floats = self.tp / self.own
        return recall

    @cached_property
    def fpr(self) -> Floats:
        """float64[..., n]; NaN without rows of the rest."""
        with np.errstate(invalid="ignore"):
            rate: Floats = self.fp / self.rest
        return rate

    @cached_property
    def f1(self) -> Floats:
        """float64[..., n]; NaN where nothing is positive and no row is of the class."""
        with np.errstate(invalid="ignore"):
            f1: Floats = 2 * self.tp / (self.tp + self.fp + self.own)
        return f1


def chosen(aim: Aim, table: Table) -> NDArray[np.int64]:
    """Place of the threshold that an aim takes, int64[...] in [0, n), or NONE where none does what it asks.

    Where several do equally well it is the highest of them, at a floor of recall the lowest, which has more recall.
    """
    allowed = table.usable & (table.tp + table.fp > 0) & (table.own > 0)
    if aim.needs_rest:
        allowed &= table.rest > 0
    if aim.min_recall is not None:
        goal, allowed = table.precision, allowed & (table.recall >= aim.min_recall)
    elif aim.min_precision is not None:
        goal, allowed = table.recall, allowed & (table.precision >= aim.min_precision)
    elif aim.max_fpr is not None:
        goal, allowed = table.recall, allowed & (table.fpr <= aim.max_fpr)
    elif aim.cost is not None:
        goal = -(aim.cost[0] * (table.own - table.tp) + aim.cost[1] * table.fp)
    else:
        goal = table.f1 if aim.best == "f1" else table.recall - table.fpr
    goal = np.where(allowed, goal, -np.inf)
    if not goal.shape[-1]:
        return np.full(goal.shape[:-1], NONE, np.int64)
    if aim.min_recall is not None:
        place = np.argmax(goal, axis=-1)
    else:
        place = goal.shape[-1] - 1 - np.argmax(goal[..., ::-1], axis=-1)
    return np.where(allowed.any(axis=-1), place, NONE)


def why_none(aim: Aim, steps: Steps) -> str:
    """Why no threshold does what an aim asks, with the best that can be had."""
    if not steps.own:
        return "no row of this class"
    if aim.needs_rest and not steps.rest:
        return "no row of another class"
    table = Table.of(steps)
    if aim.min_precision is not None:
        best = float(np.max(table.precision[steps.usable]))
        at = int(np.flatnonzero(steps.usable & (table.precision == best))[0])
        return (
            f"no threshold has a precision of at least {aim.min_precision:g}; the best is {best:.4g}, "
            f"with a recall of {table.recall[at]:.4g}"
        )
    if aim.max_fpr is not None:
        best = float(np.min(table.fpr[steps.usable]))
        return f"no threshold has a false positive rate of at most {aim.max_fpr:g}; the least is {best:.4g}"
    raise AssertionError(f"{aim}: a threshold for it exists wherever a row of the class does")
