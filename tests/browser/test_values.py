"""Numbers of the page are those of report.json: by name, to the last bit, and the text says no other number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.browser.values import numbers_of

if TYPE_CHECKING:
    from tests.browser.windows import Shown

READ = "them => them.map(it => [it.dataset.key, it.getAttribute('value'), it.textContent])"


def named(shown: Shown) -> list[tuple[str, str, str]]:
    """(name, value, text) of every number that has a name."""
    return [tuple(one) for one in shown.page.eval_on_selector_all("data[data-key]", READ)]


def test_every_number_with_a_name_is_that_of_the_report(shown: Shown) -> None:
    numbers = numbers_of(shown.made.report)
    found = named(shown)
    unlike = [(key, value, numbers.get(key, "unknown")) for key, value, _ in found if repr(numbers.get(key)) != value]
    assert unlike == []
    assert found


def test_every_text_is_its_number_rounded(shown: Shown) -> None:
    for key, value, text in named(shown):
        said = text.replace(",", "").strip()
        digits = len(said.partition(".")[2].rstrip("%"))
        assert abs(float(said) - json.loads(value)) <= 0.51 * 10**-digits, (key, value, text)


def test_every_number_without_a_name_is_a_number_too(shown: Shown) -> None:
    values = shown.page.eval_on_selector_all("data", "them => them.map(it => it.getAttribute('value'))")
    assert all(isinstance(json.loads(value), int | float) for value in values)


def test_every_metric_of_quality_stands_on_the_page(shown: Shown) -> None:
    quality = shown.made.report["quality"]
    wanted = {name for name, item in quality.items() if isinstance(item, dict) and item.get("value") is not None}
    assert wanted - {key for key, _, _ in named(shown)} == set()


def test_every_percentile_of_latency_stands_on_the_page(shown: Shown) -> None:
    timed = {kind: shown.made.report["latency"].get(kind, {}) for kind in ("batch", "single")}
    found = [(kind, name, item) for kind, section in timed.items() for name, item in section.items() if name[0] == "p"]
    wanted = {f"latency.{kind}.{name}" for kind, name, item in found if item["value"] is not None}
    assert wanted - {key for key, _, _ in named(shown)} == set()
    assert "latency.batch.p50_ms" in wanted


def test_every_gate_stands_on_the_page_with_outcome_value_and_rows(shown: Shown) -> None:
    rows = shown.page.locator("#gates tbody tr").all_inner_texts()
    assert len(rows) == len(shown.made.report["gates"])
    for gate in shown.made.report["gates"]:
        assert any(gate["outcome"] in row and f"{gate['rows']:,}" in row for row in rows)


def test_every_finding_stands_on_the_page_once_gravest_first(shown: Shown) -> None:
    said = shown.page.locator("#findings li").all_inner_texts()
    findings = {(found["severity"], found["text"].replace("`", "")): None for found in shown.made.report["findings"]}
    assert len(said) == len(findings)
    for text, (severity, told) in zip(said, findings, strict=True):
        assert text.split()[0] == severity
        assert told[:40] in text or not told[:40].isprintable()


def test_rows_of_coverage_add_up_on_the_page(shown: Shown) -> None:
    found = {key.removeprefix("coverage.rows."): int(value) for key, value, _ in named(shown) if "e.rows." in key}
    assert found.pop("planned") == sum(found.values())
