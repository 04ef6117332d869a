"""Starts a browser and opens pages. It is Chromium, or Firefox with ``E2E_BROWSER=firefox``."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
TIMEOUT_MS = 20_000

NewPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the whole session: while it is open, Playwright's event loop runs in this thread, so no other can.
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[NewPage]:
    """Open pages, in a new browser profile or in that of the page ``beside``. No page may throw an error."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def make(*, beside: Page | None = None, width: int = 1000) -> Page:
        if beside is None:
            contexts.append(browser.new_context(viewport={"width": width, "height": 800}))
            contexts[-1].set_default_timeout(TIMEOUT_MS)
        page = (beside.context if beside is not None else contexts[-1]).new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == []


def launch(playwright: Playwright) -> Browser:
    """Start Chromium: the program in $CHROMIUM, or else the system's, or else Playwright's."""
    if os.environ.get("E2E_BROWSER") == "firefox":
        return launch_firefox(playwright)
    found = os.environ.get("CHROMIUM") or next(filter(runs, NAMES), None)
    try:
        return playwright.chromium.launch(
            executable_path=found and shutil.which(found),
            args=ARGUMENTS,
            # Playwright switches the cache off, which people's browsers have on.
            ignore_default_args=["--disable-back-forward-cache"],
        )
    except Error as error:
        how = "apt-get install chromium, or playwright install chromium, or set CHROMIUM=/path/to/it"
        pytest.fail(f"needs Chromium: {how}\n{error.message}")


def launch_firefox(playwright: Playwright) -> Browser:
    """Start Firefox: the program in $FIREFOX, or else the system's, or else Playwright's."""
    found = os.environ.get("FIREFOX") or next(filter(runs, ("firefox-esr", "firefox")), None)
    try:
        if found is None:
            return playwright.firefox.launch()
        # Playwright's own build speaks another protocol than the Firefox that people have.
        browser = playwright.firefox.launch(channel="moz-firefox", executable_path=shutil.which(found))
    except Error as error:
        how = "apt-get install firefox-esr, or playwright install firefox, or set FIREFOX=/path/to/it"
        pytest.fail(f"needs Firefox: {how}\n{error.message}")
    try:
        browser.new_context().close()
    except Error as error:
        how = "Playwright 1.60 works with Firefox 153: pip install playwright==1.60.0, or take a newer Firefox"
        pytest.fail(f"this Playwright sends commands that this Firefox does not know. {how}\n{error.message}")
    return browser


def runs(name: str) -> bool:
    """Whether this program is a browser. Ubuntu's chromium-browser may be a script that only suggests an install."""
    path = shutil.which(name)
    return path is not None and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0
