"""Findings: what the numbers of a report mean, in plain sentences, the most serious first.

Each is a pure function of the decoded report. None of them is a gate: they say what a reader who knows the traps would
see, and with which numbers. What only the run itself knows (how columns were bound, whether batches matter) comes in
beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ortbatch.metrics.timed import MOST_RUNS
from ortbatch.report.causes import causes
from ortbatch.report.check_findings import check_findings
from ortbatch.report.format import interval, number
from ortbatch.report.join import join_findings
from ortbatch.report.quality import positive_row

Finding = dict[str, Any]

SEVERITIES = ("error", "warning", "info")
_LOOKS_GOOD = 0.8
_MISSED = 0.5
_NOTICEABLE = 0.02
_BETTER_F1 = 0.02
_TAIL = 10.0
_GAINED = 0.1
_NAMED = 3
_SURE = 0.001


def all_findings(report: Mapping[str, Any], of_the_run: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """The `findings` section: those of the run and those of the numbers, by severity."""
    told = [dict(finding) for finding in of_the_run]
    for look in _LOOKS:
        told += look(report)
    return sorted(told, key=lambda finding: SEVERITIES.index(finding["severity"]))


def _finding(severity: str, code: str, text: str) -> Finding:
    return {"severity": severity, "code": code, "text": text}


def _no_better_than_majority(report: Mapping[str, Any]) -> Iterator[Finding]:
    """Accuracy that always answering one class would reach, or nearly: a tenth of the errors less is not much."""
    quality = report["quality"]
    accuracy, majority = quality["accuracy"], quality["majority_class_accuracy"]["value"]
    if accuracy["value"] is None or majority == 1.0:
        return
    gained = (accuracy["value"] - majority) / (1 - majority)
    if gained >= _GAINED and accuracy["ci"][0] > majority:
        return
    most = max(quality["per_class"], key=lambda row: row["support"])["class"]
    said = "no better than" if gained <= 0 else "hardly better than"
    if gained > 0 and accuracy["ci"][0] <= majority:
        said = "not shown to be better than"
    yield _finding(
        "error" if gained <= 0 else "warning",
        "no_better_than_majority",
        f"accuracy {number(accuracy['value'])} ({interval(accuracy['ci'])}) is {said} always answering `{most}`, which "
        f"is right in {number(majority)} of the rows.",
    )


def _misses_a_class(report: Mapping[str, Any]) -> Iterator[Finding]:
    """High accuracy, and a class most of whose rows are missed: surely so."""
    quality = report["quality"]
    accuracy, positive = quality["accuracy"]["value"], positive_row(quality)
    if accuracy is None or accuracy < _LOOKS_GOOD:
        return
    missed = [row for row in quality["per_class"] if _surely_below(row["recall"], _MISSED)]
    missed.sort(key=lambda row: (row["recall"]["value"], -row["support"]))
    if positive is not None and positive in missed:
        missed = [positive]
    for row in missed[:_NAMED]:
        recall = row["recall"]
        yield _finding(
            "error" if row is positive else "warning",
            "class_missed",
            f"the model misses {_percent(1 - recall['value'])} of `{row['class']}`: its recall is "
            f"{number(recall['value'])} ({interval(recall['ci'])}) on {row['support']:,} rows, though accuracy is "
            f"{number(accuracy)}.{_more(missed, row)}",
        )


def _surely_below(estimate: Mapping[str, Any], limit: float) -> bool:
    return estimate["ci"] is not None and estimate["ci"][1] < limit


def _classes_not_there(report: Mapping[str, Any]) -> Iterator[Finding]:
    rows = report["quality"]["per_class"]
    if not report["quality"]["rows"]:
        return
    absent = [row["class"] for row in rows if not row["support"]]
    silent = [row for row in rows if row["support"] and not row["predicted"]]
    if absent:
        text = f"{_classes(absent)} in the data: nothing is known of how well the model finds {_it(absent)}."
        yield _finding("warning", "class_absent", text)
    if silent:
        rows_of = sum(row["support"] for row in silent)
        names = [row["class"] for row in silent]
        text = f"{_names(names)} never predicted: all {rows_of:,} rows of {_it(names)} are wrong."
        yield _finding("warning", "class_never_predicted", text)


def _classes(names: Sequence[str]) -> str:
    return f"{_list(names)} {'does' if len(names) == 1 else 'do'} not occur"


def _names(names: Sequence[str]) -> str:
    return f"{_list(names)} {'is' if len(names) == 1 else 'are'}"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED:,} other classes"


def _it(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _scores_off(report: Mapping[str, Any]) -> Iterator[Finding]:
    """Calibration error beyond what chance shows, and in which direction."""
    calibration = report.get("calibration")
    if calibration is None:
        return
    error, by_chance = calibration["ece"]["value"], calibration["ece_if_calibrated"]
    outward = calibration["overconfidence"]
    if error < max(_NOTICEABLE, 3 * by_chance):
        return
    said = "are no probabilities"
    if abs(outward) >= error / 2:
        said = "are overconfident" if outward > 0 else "are underconfident"
    worst = max(calibration["bins"], key=lambda b: b["rows"] * abs(b["mean_score"] - (b["share"]["value"] or 0.0)))
    what = "of such rows are positive" if calibration["of"] == "positive class" else "of such predictions are right"
    yield _finding(
        "warning",
        "overconfident" if said == "are overconfident" else "badly_calibrated",
        f"the scores {said}: they are off by {number(error)} on average (expected calibration error; a calibrated "
        f"model would show about {number(by_chance)}). Where they are {number(worst['mean_score'])} on average, "
        f"{_percent(worst['share']['value'])} {what}. Calibrate them before they are used as probabilities.",
    )


def _better_threshold(report: Mapping[str, Any]) -> Iterator[Finding]:
    """F1 at the job's threshold, against the best that the curve has."""
    quality, section = report["quality"], report.get("thresholds")
    if section is None or "positive" not in quality:
        return
    best = section["curves"][0]["recommended"]["best_f1"]
    now = quality["f1"]
    if best["threshold"] is None or now["value"] is None or best["f1"]["value"] - now["value"] < _BETTER_F1:
        return
    if now["ci"] is not None and best["f1"]["value"] <= now["ci"][1]:
        return
    yield _finding(
        "warning",
        "better_threshold",
        f"the threshold {section['threshold']:g} is far from the best F1: {number(now['value'])} there, "
        f"{number(best['f1']['value'])} at {best['threshold']:.4g} (recall {number(best['recall']['value'])} instead "
        f"of {number(quality['recall']['value'])}, precision {number(best['precision']['value'])} instead of "
        f"{number(quality['precision']['value'])}). `ortbatch thresholds` weighs them otherwise.",
    )


def _weak_slices(report: Mapping[str, Any]) -> Iterator[Finding]:
    worse = [(entry, test) for entry in report.get("slices", []) for test in entry["worse"]]
    worse = [(entry, test) for entry, test in worse if -test["difference"] >= _NOTICEABLE]
    for entry, test in worse[:_NAMED]:
        yield _finding(
            "warning",
            "weak_slice",
            f"{test['metric']} in slice {entry['name']} is {number(test['value'])}, {number(-test['difference'])} "
            f"below the rest ({entry['rows']:,} rows; p = {test['p_adjusted']:.2g}, corrected for all slices)."
            f"{_more(worse, (entry, test))}",
        )


def _rejected_unlike_the_rest(report: Mapping[str, Any]) -> Iterator[Finding]:
    """Are rejected rows of the classes that evaluated rows are of? If not, the metrics are about other data."""
    classes = report["coverage"]["bad_rows"]["by_class"]
    if not classes:
        return
    support = {row["class"]: row["support"] for row in report["quality"]["per_class"]}
    rejected = {row["class"]: row["rejected"] for row in classes}
    evaluated, lost = sum(support.values()), sum(rejected.values())
    worst, p_value = None, 1.0
    for name, count in rejected.items():
        p = _more_often(count, lost, support[name], evaluated)
        if p < p_value:
            worst, p_value = name, p
    if worst is None or p_value * len(rejected) > _SURE:
        return
    of_class, of_all = rejected[worst] / (rejected[worst] + support[worst]), lost / (lost + evaluated)
    yield _finding(
        "warning",
        "rejected_rows_not_random",
        f"rejected rows are not like the others: {_percent(of_class)} of `{worst}` are rejected, {_percent(of_all)} of "
        f"all rows whose label is known. The metrics are about what is left.",
    )


def _more_often(rejected: int, all_rejected: int, evaluated: int, all_evaluated: int) -> float:
    """One-sided p-value of a class among the rejected rows, against the evaluated ones; Fisher's exact test."""
    from scipy.stats import fisher_exact

    table = [[rejected, all_rejected - rejected], [evaluated, all_evaluated - evaluated]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def _latency_tail(report: Mapping[str, Any]) -> Iterator[Finding]:
    single = report["latency"]["single"]
    half, tail = single["p50_ms"]["value"], single["p99_ms"]
    if not half or tail["ci"] is None or tail["ci"][0] < _TAIL * half:
        return
    text = (
        f"one prediction in a hundred takes {number(tail['value'])} ms or more, {tail['value'] / half:.0f} times the "
        f"median of {number(half)} ms."
    )
    yield {**_finding("warning", "latency_tail", text), "volatile": True}


def _never_steady(report: Mapping[str, Any]) -> Iterator[Finding]:
    """Single predictions that were timed though warm-up had not become steady; earlier reports do not say."""
    single = report["latency"]["single"]
    if single.get("stable", True) or not single["count"]:
        return
    more = "" if single["warm_up"] >= MOST_RUNS else ", or raise `latency.max_seconds`, a fifth of which is for warm-up"
    text = (
        f"single predictions had not become steady after {single['warm_up']:,} runs of warm-up "
        f"({single['warm_up_s']:.2g} s): another run may give other percentiles. Free the machine of other work{more}."
    )
    yield {**_finding("warning", "latency_not_steady", text), "volatile": True}


def _too_few_timed(report: Mapping[str, Any]) -> Iterator[Finding]:
    """Percentiles up to the 99th that the timed predictions do not bound."""
    single = report["latency"]["single"]
    reasons = {name: single[f"{name}_ms"].get("reason") or "" for name in ("p50", "p90", "p95", "p99")}
    few = [name for name, reason in reasons.items() if reason.startswith("insufficient")]
    if few:
        needed = reasons[few[-1]].partition(": ")[2]
        text = f"too few predictions were timed for {', '.join(few)} of single latency: {needed}."
        yield {**_finding("warning", "too_few_timed", text), "volatile": True}


_LOOKS: tuple[Callable[[Mapping[str, Any]], Iterator[Finding]], ...] = (
    _no_better_than_majority,
    _misses_a_class,
    _classes_not_there,
    _scores_off,
    _better_threshold,
    _weak_slices,
    _rejected_unlike_the_rest,
    causes,
    check_findings,
    join_findings,
    _latency_tail,
    _never_steady,
    _too_few_timed,
)


def _percent(share: float | None) -> str:
    """A share as people say it: 88%, 0.3%, 99.8%."""
    assert share is not None
    percent = 100 * share
    near = min(percent, 100 - percent)
    return f"{percent:.0f}%" if near >= 1 or near == 0 else f"{percent:.2g}%" if percent < 1 else f"{percent:.2f}%"


def _more(found: Sequence[object], this: object) -> str:
    """Behind the last that is named: how many are not."""
    return f" {len(found) - _NAMED:,} more are like it." if found[_NAMED - 1 : _NAMED] == [this] != found[-1:] else ""
