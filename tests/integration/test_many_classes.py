"""Ten thousand classes from end to end: exact counts, scikit-learn's metrics, and no memory of the matrix's size."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn import metrics

from ortbatch import Report, read_report
from tests.models import save
from tests.tables import write_table

SIDE = 100
CLASSES, ROWS = SIDE * SIDE, 4_000
CENTRES = np.stack(np.divmod(np.arange(CLASSES), SIDE)).astype(np.float32)
"""float32[2, C]: class i·100 + j is the point (i, j)."""

RUN = """
import resource, sys
from pathlib import Path
from ortbatch.api import Options, run_job
from ortbatch.job import load_job
outcome = run_job(load_job(sys.argv[1]), Options(run_dir=sys.argv[2], engine="inline"))
usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
# Linux counts what the parent held when it started this process into ru_maxrss, but not into VmHWM.
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
print(next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), usage))
"""


@dataclass(frozen=True)
class Ran:
    """A run of its own process: labels and predictions int64[N] of a plain loop, bytes of memory at most, report."""

    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    memory: int
    report: Report


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("many")
    nearest_centre(folder / "model.onnx")
    points, true = rows()
    columns = {"x0": points[:, 0], "x1": points[:, 1], "label": true}
    for part, places in enumerate(np.array_split(np.arange(ROWS), 3)):
        taken = {name: column[places] for name, column in columns.items()}
        half = len(places) // 2
        write_table(folder / "data" / f"{part}.parquet", taken, [half, len(places) - half])
    job = folder / "job.yaml"
    job.write_text(
        "name: many\nmodel: {path: model.onnx, inputs: {x: [x0, x1]}}\ndata: {path: data, label: label}\n"
        "execution: {workers: 1, cpus_per_worker: 2}\nlatency: {max_seconds: 0.5}\n"
        "gates: [accuracy >= 0.5, 'recall[42] >= 0']\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(job), str(folder / "run")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    predicted = [predict(point) for point in points]
    return Ran(true, np.array(predicted), int(done.stdout.splitlines()[-1]), read_report(str(folder / "run")))


def nearest_centre(path: Path) -> None:
    """x · centre - |centre|² / 2, greatest for the nearest centre; exact in float32 for multiples of 1/8 up to 100."""
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["out"])]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", CLASSES])
    constants = [numpy_helper.from_array(CENTRES, "w"), numpy_helper.from_array(-(CENTRES**2).sum(axis=0) / 2, "b")]
    save(path, helper.make_graph(nodes, "nearest", [given], [out], constants))


def rows() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Points float32[N, 2] near the centre of their class, and classes int64[N], some of them often."""
    rng = np.random.default_rng(0)
    true = np.where(rng.random(ROWS) < 0.3, rng.integers(0, 20, ROWS), rng.integers(0, CLASSES, ROWS))
    noise = np.round(rng.normal(0, 0.3, (ROWS, 2)) * 8) / 8
    return np.clip(CENTRES.T[true] + noise, 0, SIDE).astype(np.float32), true


def predict(point: NDArray[np.float32]) -> int:
    """The first of the nearest centres."""
    return int(((point.astype(np.float64)[:, None] - CENTRES) ** 2).sum(axis=0).argmin())


def test_the_process_stays_below_a_gigabyte(ran: Ran) -> None:
    assert ran.memory < 10**9


def test_counts_equal_a_plain_loop(ran: Ran) -> None:
    expected = Counter(zip(ran.true.tolist(), ran.predicted.tolist(), strict=True))
    assert 1_000 < len(expected) < ROWS
    assert [tuple(cell) for cell in ran.report.confusion_cells.tolist()] == sorted(
        (true, predicted, count) for (true, predicted), count in expected.items()
    )


def test_the_file_holds_the_cells_that_are_not_empty(ran: Ran) -> None:
    matrix = ran.report.data["confusion_matrix"]
    assert matrix["format"] == "coo"
    assert len(matrix["cells"]) == len(ran.report.confusion_cells) < ROWS
    assert Path(ran.report.path).stat().st_size < 20_000_000


def value(ran: Ran, name: str) -> Any:
    return pytest.approx(ran.report.data["quality"][name]["value"], abs=1e-12, rel=0)


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_averages_equal_scikit_learns(ran: Ran, average: str) -> None:
    names = [f"{name}_{average}" for name in ("precision", "recall", "f1")]
    triple = metrics.precision_recall_fscore_support(ran.true, ran.predicted, average=average, zero_division=0)[:3]
    assert list(triple) == [value(ran, name) for name in names]


def test_accuracies_equal_scikit_learns(ran: Ran) -> None:
    assert metrics.accuracy_score(ran.true, ran.predicted) == value(ran, "accuracy")
    # scikit-learn's own balanced accuracy makes the whole matrix.
    labels = np.unique(ran.true)
    balanced = metrics.recall_score(ran.true, ran.predicted, labels=labels, average="macro", zero_division=0)
    assert balanced == value(ran, "balanced_accuracy")
    assert np.bincount(ran.true).max() / ROWS == value(ran, "majority_class_accuracy")


def test_coefficients_equal_exact_arithmetic(ran: Ran) -> None:
    support, predicted = Counter(ran.true.tolist()), Counter(ran.predicted.tolist())
    hits = int((ran.true == ran.predicted).sum())
    chance = sum(Fraction(support[label], ROWS) * Fraction(predicted[label], ROWS) for label in support)
    beyond = Fraction(hits, ROWS) - chance
    assert float(beyond / (1 - chance)) == value(ran, "cohen_kappa")
    spread = [1 - sum(Fraction(count, ROWS) ** 2 for count in counts.values()) for counts in (support, predicted)]
    product = spread[0] * spread[1]
    with localcontext() as context:
        context.prec = 60
        root = (Decimal(product.numerator) / Decimal(product.denominator)).sqrt()
        assert float(Decimal(beyond.numerator) / Decimal(beyond.denominator) / root) == value(ran, "matthews_corrcoef")


def test_every_class_has_scikit_learns_numbers_or_none(ran: Ran) -> None:
    columns = metrics.precision_recall_fscore_support(
        ran.true, ran.predicted, labels=range(CLASSES), zero_division=np.nan
    )
    guessed = np.bincount(ran.predicted, minlength=CLASSES)
    by_class = ran.report.data["quality"]["per_class"]
    assert len(by_class) == CLASSES
    for label, (row, precision, recall, f1, support) in enumerate(zip(by_class, *columns, strict=True)):
        assert (row["class"], row["support"], row["predicted"]) == (str(label), support, guessed[label])
        for name, expected in (("precision", precision), ("recall", recall), ("f1", f1)):
            got = row[name]["value"]
            assert (got is None) == bool(np.isnan(expected)), (label, name)
            assert got is None or got == pytest.approx(expected, abs=1e-12, rel=0), (label, name)


def test_the_table_and_the_gates_speak_of_classes(ran: Ran) -> None:
    accuracy, recall = ran.report.data["gates"]
    assert (accuracy["outcome"], recall["rows"]) == ("passed", int((ran.true == 42).sum()))
    table = (Path(ran.report.path).parent / "metrics.csv").read_text()
    assert table.count("\n") > 3 * CLASSES
    assert json.loads(Path(ran.report.path).read_text())["quality"]["rows"] == ROWS
