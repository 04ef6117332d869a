"""The site, the service, and tabs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.e2e.client.service import Service, running, until
from tests.e2e.client.site import Site, Trouble
from tests.e2e.client.tab import Tab
from tests.e2e.conftest import TIMEOUT_MS

numbers = itertools.count(1)

NewTab = Callable[..., Tab]


@pytest.fixture(scope="module")
def shared_site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture(scope="module")
def shared_service(shared_site: Site) -> Iterator[Service]:
    with running(shared_site) as service:
        yield service


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    shared_site.trouble = Trouble()
    shared_site.published.clear()
    yield shared_site
    shared_site.network_returns()
    shared_site.thaw()


@pytest.fixture
def service(shared_service: Service) -> Service:
    return shared_service


@pytest.fixture
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """One browser profile."""
    with browser.new_context() as context:
        context.set_default_timeout(TIMEOUT_MS)
        yield context


@pytest.fixture
def new_tab(profile: BrowserContext, site: Site) -> Iterator[NewTab]:
    """Open tabs in one profile, in which a user of this test's own is signed in. No page may throw an error."""
    errors: list[str] = []
    user = f"user-{next(numbers)}"
    sign_in(profile, site, user)

    def make() -> Tab:
        page = profile.new_page()
        # Firefox reports a lost connection as if the page had thrown an error.
        page.on("pageerror", lambda error: errors.append(str(error)) if "/events?" not in str(error) else None)
        return Tab(page, site.origin, user)

    yield make
    site.thaw()
    site.network_returns()
    for page in profile.pages:
        page.close()
    until(lambda: site.streams[user] == 0, "closed tabs close their streams")
    assert errors == []


def sign_in(profile: BrowserContext, site: Site, user: str) -> None:
    """Sign in at the application, in all tabs of this profile."""
    profile.add_cookies([{"name": "app_user", "value": user, "url": site.origin}])
