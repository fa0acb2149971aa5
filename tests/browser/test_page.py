"""The page as a whole, in a browser: it opens without a word, asks for nothing, runs nothing that is not its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from ortbatch.report.page.page import report_page
from tests.browser.reports import Made, Reports, ten_thousand_classes
from tests.browser.windows import watched_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.windows import Shown


def test_it_opens_without_a_request_and_without_a_word_on_the_console(shown: Shown) -> None:
    shown.page.locator("footer").scroll_into_view_if_needed()
    assert shown.page.locator("main section").count() >= 1


def heard(browser: Browser, made: Made, script: str) -> None:
    """Opens a page, runs a script that the page does not have, and waits for what comes of it."""
    with watched_page(browser) as page:
        page.goto(made.url)
        page.evaluate(script)
        page.wait_for_timeout(100)
        assert page.evaluate("window.injected === undefined")


def test_a_page_that_asks_for_something_fails_its_test(browser: Browser, reports: Reports) -> None:
    made = reports["fraud"]
    asking = made.page.with_name("asking.html")
    asking.write_text("<!doctype html><img alt='' src='http://127.0.0.1:9/'>")
    with pytest.raises(AssertionError, match="request: GET http"):
        heard(browser, Made(made.report, asking), "0")


def test_a_page_that_speaks_on_the_console_fails_its_test(browser: Browser, reports: Reports) -> None:
    with pytest.raises(AssertionError, match="console warning: ouch"):
        heard(browser, reports["fraud"], "console.warn('ouch')")


def test_every_section_stands_in_the_list_of_sections_in_order(shown: Shown) -> None:
    ids = shown.page.eval_on_selector_all("main section", "them => them.map(it => it.id)")
    links = shown.page.eval_on_selector_all("nav.sections a", "them => them.map(it => it.hash.slice(1))")
    assert links == ids
    assert len(set(ids)) == len(ids)


def test_no_id_is_given_twice(shown: Shown) -> None:
    ids = shown.page.eval_on_selector_all("[id]", "them => them.map(it => it.id)")
    assert sorted(ids) == sorted(set(ids))


def test_every_reference_within_the_page_has_its_element(shown: Shown) -> None:
    missing = shown.page.evaluate("""() => {
        const wanted = [];
        for (const it of document.querySelectorAll("*"))
            for (const {name, value} of it.attributes) {
                if (/^(for|aria-(labelledby|describedby|controls))$/.test(name)) wanted.push(...value.split(" "));
                if (["href", "xlink:href"].includes(name) && value.startsWith("#")) wanted.push(value.slice(1));
                for (const [, id] of value.matchAll(/url\\(#([^)]+)\\)/g)) wanted.push(id);
            }
        return wanted.filter((id) => !document.getElementById(id));
    }""")
    assert missing == []


def test_the_policy_allows_nothing_but_its_own_script_and_style(shown: Shown) -> None:
    policy = shown.page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content") or ""
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert all(re.fullmatch(r"'sha256-[\w+/]{43}='", rules[kind]) for kind in ("script-src", "style-src"))


def test_a_script_that_is_put_in_does_not_run(browser: Browser, reports: Reports) -> None:
    script = "const it = document.createElement('script'); it.textContent = 'injected = 1'; document.body.append(it)"
    with pytest.raises(AssertionError, match="Content Security Policy"):
        heard(browser, reports["fraud"], script)


def test_a_handler_that_is_put_in_does_not_run(browser: Browser, reports: Reports) -> None:
    script = "document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"injected = 1\">')"
    with pytest.raises(AssertionError, match="Content Security Policy"):
        heard(browser, reports["fraud"], script)


def test_a_script_written_into_the_file_does_not_run(browser: Browser, reports: Reports) -> None:
    made = reports["fraud"]
    other = made.page.with_name("changed.html")
    other.write_text(made.page.read_text().replace("</main>", "</main><script>injected = 1</script>"))
    with pytest.raises(AssertionError, match="Content Security Policy"):
        heard(browser, Made(made.report, other), "0")


def test_no_page_is_larger_than_it_may_be(made: Made) -> None:
    assert made.page.stat().st_size < 1_600_000


def test_neither_is_one_of_10_000_classes() -> None:
    assert len(report_page(ten_thousand_classes()).encode()) < 1_600_000


def test_the_title_says_the_outcome_first(shown: Shown) -> None:
    assert shown.page.title().startswith(f"{shown.made.report['status']}: ")
    assert shown.page.locator(".status").inner_text().strip().lower() == shown.made.report["status"]
