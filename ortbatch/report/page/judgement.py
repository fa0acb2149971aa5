"""The verdict in sentences, the gates, and what the reader should know first.

What decides stands first: failed gates, then those that cannot be decided. A gate against another model or run is about
a difference, and says so: its number is not the metric's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ortbatch.report.format import interval, margin, name, number
from ortbatch.report.page.blocks import Cell, Fragment, Section, Sentence, Table, Tone, count, figure, word
from ortbatch.report.page.strip import Strip, strip

TONES: Mapping[str, Tone] = {
    "passed": "good", "failed": "bad", "inconclusive": "doubt", "incomplete": "bad", "ungated": "dim",
    "error": "bad", "warning": "doubt", "info": "dim",
}  # fmt: skip
_ORDER = ("failed", "inconclusive", "passed")
_WORDS = {
    "passed": "It passes", "failed": "It does not pass", "inconclusive": "It cannot be decided",
    "incomplete": "The run is incomplete", "ungated": "Nothing was asked of it",
}  # fmt: skip
_ASKED = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than", "==": "exactly"}
_SAID = 6


@dataclass(frozen=True)
class Judged:
    """A gate as it is read aloud.

    Args:
        outcome, tone: what became of it.
        subject: what was judged.
        value: None if there is none; `why` then says why.
        between: its interval.
        rows: what it rests on, with the noun.
        asked: the limit in words.
        why: what else there is to say.
        strip: where value and limit lie.
    """

    outcome: str
    tone: Tone
    subject: Cell
    value: Cell | None
    between: str
    rows: str
    asked: str
    why: Sentence | None
    strip: Strip | None


def headline(report: Mapping[str, Any]) -> dict[str, Any]:
    """What stands at the top: status, name, what was evaluated, and the gates that decided it, in sentences."""
    quality, run = report["quality"], report["run"]
    about = f"{quality['task']}, {len(quality['classes']):,} classes"
    if "positive" in quality:
        about += f", positive class {name(quality['positive'])}, threshold {report['job']['threshold']:g}"
    gates = sorted(report["gates"], key=_urgency)
    return {
        "status": report["status"],
        "tone": TONES[report["status"]],
        "words": f"{_WORDS[report['status']]}: {_tally(report)}.",
        "name": name(run["name"], 100),
        "about": f"{quality['rows']:,} rows evaluated; {about}"
        + ("; a sample of the data" if "sampled" in report else ""),
        "when": run["started_at"],
        "shown_when": run["started_at"][:16].replace("T", " ") + " UTC",
        "gates": [judged(gate) for gate in gates[:_SAID]],
        "more": max(0, len(gates) - _SAID),
        "run": run["id"],
        "version": name(str(report["provenance"]["versions"].get("ortbatch", ""))),
        "schema": report["schema_version"],
    }


def _urgency(gate: Mapping[str, Any]) -> int:
    return _ORDER.index(gate["outcome"])


def _tally(report: Mapping[str, Any]) -> str:
    """How many gates came out how; of an incomplete run what is missing."""
    outcomes = [gate["outcome"] for gate in report["gates"]]
    parts = [f"{outcomes.count(outcome):,} {outcome}" for outcome in _ORDER if outcome in outcomes]
    said = f"{', '.join(parts)} of {_counted(len(outcomes), 'gate')}" if outcomes else "the job has no gates"
    if report["status"] != "incomplete":
        return said
    bad = report["coverage"]["bad_rows"]
    if bad["count"] > bad["allowed"]:
        return f"{_counted(bad['count'], 'bad row')} where {bad['allowed']:,} are allowed; {said}"
    return f"coverage fails its gate; {said}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def judged(gate: Mapping[str, Any]) -> Judged:
    """A gate of report.json."""
    unclear = gate["outcome"] == "inconclusive" or gate["value"] is None
    shown = Cell(number(gate["value"], apart_from=gate["limit"]), gate["value"], _key(gate))
    return Judged(
        outcome=gate["outcome"],
        tone=TONES[gate["outcome"]],
        subject=word(_subject(gate)),
        value=None if gate["value"] is None else shown,
        between="" if gate["ci"] is None else interval(gate["ci"]),
        rows=_counted(gate["rows"], "timing" if gate["metric"].startswith("latency.") else "row"),
        asked=f"{_ASKED[gate['op']]} {gate['limit']:g}",
        why=Sentence(gate["why"]) if unclear and gate["why"] else None,
        strip=strip(gate),
    )


def _subject(gate: Mapping[str, Any]) -> str:
    return f"{gate['metric']} minus that of {gate['versus']['baseline']}" if "versus" in gate else str(gate["metric"])


def _key(gate: Mapping[str, Any]) -> str:
    """The metric's name; of a difference its gate's, for it is no number of the metric."""
    return f"gates[{gate['gate']}]" if "versus" in gate else str(gate["metric"])


def findings(report: Mapping[str, Any]) -> Section | None:
    """Findings, as many as there are; the same text twice is said once."""
    found: Sequence[Mapping[str, Any]] = report["findings"]
    if not found:
        return None
    told = {(item["severity"], item["text"]): Sentence(item["text"], TONES[item["severity"]]) for item in found}
    items = [{"severity": severity, "sentence": sentence} for (severity, _), sentence in told.items()]
    worst = min((item["severity"] for item in found), key=("error", "warning", "info").index)
    about = Sentence("What a reader who knows the traps would say of these numbers, gravest first.")
    blocks = (about, Fragment("findings.html", {"findings": items}))
    return Section("findings", "Findings", blocks, f"{len(items):,}", TONES[worst])


def gates(report: Mapping[str, Any]) -> Section | None:
    """All gates, failed ones first."""
    if not report["gates"]:
        return None
    asked = sorted(report["gates"], key=_urgency)
    head = ("outcome", "gate", "value", "limit", "margin", "95% interval", "rows", "why")
    table = Table("Gates, failed ones first", head, [_row(gate) for gate in asked], texts=2, ends=1)
    about = Sentence(
        "What the job demands of the model. The margin says how far a value is on the good side of its limit; below 0 "
        "it misses it."
    )  # fmt: skip
    bad = sum(gate["outcome"] != "passed" for gate in asked)
    worst = TONES[asked[0]["outcome"]]
    return Section("gates", "Gates", (about, table), f"{bad:,} of {len(asked):,}" if bad else f"{len(asked):,}", worst)


def _row(gate: Mapping[str, Any]) -> tuple[Cell, ...]:
    tone = TONES[gate["outcome"]]
    return (
        Cell(gate["outcome"], tone=tone, mark=True),
        word(gate["gate"]),
        figure(gate["value"], _key(gate)),
        Cell(f"{gate['op']} {gate['limit']:g}"),
        Cell(margin(gate), tone=tone),
        Cell(interval(gate["ci"])),
        count(gate["rows"]),
        word(gate["why"] or ""),
    )
