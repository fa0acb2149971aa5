"""Reports of real runs, made once a session, and a browser to open them in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.browser.reports import JOBS, Made, Reports

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.browser.windows import Shown, Windows


# Of the package, not of the session: while Playwright runs, this thread has a running event loop, which others mind.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    from tests.browser.windows import PROGRAMS, chromium, chromium_path

    path = chromium_path()
    if path is None:
        missing = f"no browser: none of {', '.join(PROGRAMS)} is installed (Debian: apt install chromium)"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with chromium(path) as launched:
        yield launched


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    return Reports(tmp_path_factory)


@pytest.fixture(params=list(JOBS))
def made(request: pytest.FixtureRequest, reports: Reports) -> Made:
    """Each of the reports."""
    return reports[request.param]


@pytest.fixture(scope="package")
def windows(browser: Browser) -> Iterator[Windows]:
    from tests.browser.windows import Windows

    with ExitStack() as closing:
        yield Windows(browser, closing)


@pytest.fixture
def shown(windows: Windows, made: Made) -> Iterator[Shown]:
    """Each of the reports, open already: to be looked at, not to be changed."""
    window = windows[made]
    yield window
    assert window.trouble == []


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A window of 1,280 × 900 in light mode."""
    from tests.browser.windows import watched_page

    with watched_page(browser) as opened:
        yield opened


@pytest.fixture
def page_without_script(browser: Browser) -> Iterator[Page]:
    from tests.browser.windows import watched_page

    with watched_page(browser, java_script_enabled=False) as opened:
        yield opened
