"""The page of a report: its sections in order, in one self-contained file.

A pure function of the decoded report. Scripts and styles stand inline and are named by their hashes in the page's
content security policy, which allows nothing else: no request leaves, whatever a class is called.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ortbatch.report.format import name
from ortbatch.report.page import (
    calibration,
    classes,
    coverage,
    earlier,
    explorer,
    fidelity,
    judgement,
    latency,
    leakage,
    matrix,
    overfitting,
    provenance,
    quality,
    slices,
    stages,
)
from ortbatch.report.page.blocks import Section
from ortbatch.report.page.draw import unchecked
from ortbatch.report.page.tiles import tiles

if TYPE_CHECKING:
    from jinja2 import Environment

_STYLES = ("page.css", "explorer.css", "forest.css", "matrix.css")
_SCRIPTS = ("page.js", "tables.js", "explorer.js", "matrix.js")
SECTIONS: tuple[Callable[[Mapping[str, Any]], Section | None], ...] = (
    judgement.findings,
    judgement.gates,
    quality.quality,
    classes.classes,
    matrix.matrix,
    explorer.thresholds,
    calibration.calibration,
    latency.latency,
    fidelity.fidelity,
    earlier.earlier,
    leakage.leakage,
    overfitting.overfitting,
    slices.slices,
    stages.time_spent,
    coverage.coverage,
    provenance.provenance,
)


def report_page(report: Mapping[str, Any]) -> str:
    """report.html."""
    with unchecked():
        sections = [section for make in SECTIONS if (section := make(report)) is not None]
    head = {**judgement.headline(report), "tiles": tiles(report)}
    return page("report.html", name(report["run"]["name"], 100), sections, {"head": head})


def page(template: str, title: str, sections: Sequence[Section], values: Mapping[str, Any]) -> str:
    """A page by a template that extends `page.html`.

    Args:
        template: file in templates/.
        title: of the window.
        sections: in order.
        values: what the template needs besides.
    """
    style, script = _joined(_STYLES), _joined(_SCRIPTS)
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    made = _environment().get_template(template)
    return made.render(title=title, sections=sections, style=style, script=script, policy=policy, **values)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _joined(names: Sequence[str]) -> str:
    """Files of static/ as one text."""
    folder = files("ortbatch.report.page") / "static"
    return "\n".join((folder / file).read_text("utf-8") for file in names)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("ortbatch.report.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
