"""A real browser with session cookies of several domains recovers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from sse_service.auth.tokens.signing import TokenSigner
from tests.e2e import conftest
from tests.integration.chain import SECRET
from tests.integration.process import Process

HOST = "push.example.test"
STATUS = """async ([method, path, token]) => {
    const headers = token ? {Authorization: `Bearer ${token}`} : {};
    const answer = await fetch(path, {method, headers});
    await answer.body?.cancel();
    return answer.status;
}"""


def ask(page: Page, method: str, path: str, token: str = "") -> int:
    status: int = page.evaluate(STATUS, [method, path, token])
    return status


def token(user: str) -> str:
    return TokenSigner(secret=SECRET).sign(user)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page of the service. The browser has session cookies of the host and of its parent domain."""
    monkeypatch.setattr(conftest, "ARGUMENTS", [*conftest.ARGUMENTS, f"--host-resolver-rules=MAP {HOST} 127.0.0.1"])
    with (
        Process("sse_service", "dev", "--port", "0", env={"SSE_JWT_SECRET": SECRET}) as process,
        sync_playwright() as playwright,
    ):
        url = process.wait_for(r"(?m)^(http://127\.0\.0\.1:\d+)/$")[1].replace("127.0.0.1", HOST)
        browser = conftest.launch(playwright)
        page = browser.new_page()
        page.goto(f"{url}/healthz")
        where = ({"url": url}, {"domain": HOST, "path": "/"}, {"domain": ".example.test", "path": "/"})
        page.context.add_cookies(
            [{"name": "sse_session", "value": token(str(user)), **each} for user, each in enumerate(where)]
        )
        assert len(page.context.cookies()) >= 2
        assert ask(page, "GET", "/events") == 401
        yield page
        browser.close()


def test_ending_the_session_removes_all_cookies(page: Page) -> None:
    assert ask(page, "DELETE", "/session") == 204
    assert page.context.cookies() == []


def test_making_a_session_leaves_one_cookie_that_works(page: Page) -> None:
    assert ask(page, "POST", "/session", token("42")) == 204
    assert len(page.context.cookies()) == 1
    assert ask(page, "GET", "/events") == 200
