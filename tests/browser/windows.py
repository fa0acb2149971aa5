"""A Chromium without a network, and pages that tell what they ask for and what they say.

A page that asks for anything, or puts a word on the console, fails its test, whatever else the test looks at.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
from playwright.sync_api import Browser, Page, Route, sync_playwright

from tests.browser.reports import Made

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage",
    "--disable-software-rasterizer",
]  # fmt: skip
PATIENCE_MS = 120_000  # a busy machine is no defect


def chromium_path() -> str | None:
    """Where a Chromium is installed."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """A browser; all its processes have ended afterwards."""
    before = set(psutil.Process().children(recursive=True))
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=QUIET, timeout=PATIENCE_MS)
        started = set(psutil.Process().children(recursive=True)) - before
        try:
            yield launched
        finally:
            launched.close()
    _, alive = psutil.wait_procs(started, timeout=30)
    assert not alive, alive


@contextmanager
def open_page(browser: Browser, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """A page in a context of its own, and the list of what it asks for and says."""
    trouble: list[str] = []
    plain = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", "reduced_motion": "reduce"}
    context = browser.new_context(**{**plain, **options})
    context.set_default_timeout(PATIENCE_MS)
    try:
        opened = context.new_page()
        context.route("**/*", lambda route: _answer(route, trouble))
        opened.on("console", lambda message: trouble.append(f"console {message.type}: {message.text}"))
        opened.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        opened.on("dialog", lambda dialog: (trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        yield opened, trouble
    finally:
        context.close()


def _answer(route: Route, trouble: list[str]) -> None:
    """The page itself comes from a file; nothing else is there to be asked for."""
    request = route.request
    if request.url.startswith("data:") or (request.url.startswith("file:") and request.is_navigation_request()):
        route.continue_()
    else:
        trouble.append(f"request: {request.method} {request.url}")
        route.abort()


@contextmanager
def watched_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page; any trouble fails the test at the end."""
    with open_page(browser, **options) as (page, trouble):
        yield page
    assert not trouble, "\n".join(trouble)


@dataclass(frozen=True)
class Shown:
    """A report whose page is open in a window of 1,280 × 900 in light mode."""

    made: Made
    page: Page
    trouble: list[str]


@dataclass(frozen=True)
class Windows:
    """Opens each page once, for tests that only look."""

    browser: Browser
    closing: ExitStack
    opened: dict[str, Shown] = field(default_factory=dict)

    def __getitem__(self, made: Made) -> Shown:
        if made.url not in self.opened:
            page, trouble = self.closing.enter_context(open_page(self.browser))
            page.goto(made.url)
            self.opened[made.url] = Shown(made, page, trouble)
        return self.opened[made.url]
