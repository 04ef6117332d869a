"""A page without a back end: it signs in with an OpenID provider, and receives events while its tokens are renewed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from sse_service.client.files import CLIENT
from tests.e2e.conftest import NewPage
from tests.identity.provider_process import ProviderProcess, provider
from tests.integration.chain import Chain, queue_stub, service

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
HTML = """<!doctype html><title>Jobs</title><link rel="icon" href="data:,"><h1>Jobs of <b id="user">nobody</b></h1>
<p>Stream: <b id="status">not opened</b>
<p><button id="in" hidden>Sign in</button><button id="out" hidden>Sign out</button>
<ol id="seen"></ol><script type="module" src="/app.js"></script>"""
APP = """
import { session, signedIn, signIn, signOut, tabs } from "/oidc.js";
import { PushClient } from "/client.js";
const show = (id, text) => (document.querySelector(id).textContent = text);
window.seen = [];
window.said = [];
document.querySelector("#in").onclick = signIn;
if (await signedIn()) {
  const push = new PushClient("PUSH/events", {
    types: ["step"],
    session: async () => {
      const made = await session();
      show("#user", made?.user ?? "nobody");
      return made;
    },
    load: async () => window.said.push("load"),
    apply: (event) => {
      window.seen.push(event.data);
      const item = document.createElement("li");
      item.textContent = `${event.data} (${event.lastEventId})`;
      document.querySelector("#seen").append(item);
    },
    status: (text) => (window.said.push(text), show("#status", text)),
    userChanged: (user) => window.said.push(`userChanged ${user}`),
  });
  tabs.addEventListener("message", () => push.reconnect());
  document.querySelector("#out").hidden = false;
  document.querySelector("#out").onclick = () => (push.close(), signOut().then(() => show("#user", "nobody")));
} else {
  document.querySelector("#in").hidden = false;
}
"""


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def static(directory: Path) -> Iterator[str]:
    """Serve a directory, and yield the origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class World:
    """A provider, the service, and the page, each with an origin of its own."""

    def __init__(self, *, chain: Chain, provider: ProviderProcess, origin: str) -> None:
        self.chain = chain
        self.provider = provider
        self.origin = origin
        self._published = 0

    def sign_in(self, page: Page) -> None:
        page.goto(f"{self.origin}/")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label("User").fill("ann")
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#status")).to_have_text("live")

    def open_beside(self, page: Page, new_page: NewPage) -> Page:
        """Sign in in another tab. The provider knows the user from the first."""
        tab = new_page(beside=page)
        tab.goto(f"{self.origin}/")
        tab.get_by_role("button", name="Sign in").click()
        expect(tab.locator("#status")).to_have_text("live")
        return tab

    def publish(self, count: int = 1) -> None:
        """Publish events for ann, numbered from 1."""
        for _ in range(count):
            self._published += 1
            number = str(self._published)
            self.chain.put(number, user_id="ann", event_type="step", event_id=f"step-{number}")

    def expect_all(self, page: Page) -> None:
        """Wait for the last event. Each event has come once, and in order."""
        page.wait_for_function("last => window.seen.at(-1) === last", arg=str(self._published))
        assert page.evaluate("window.seen") == [str(number + 1) for number in range(self._published)]


def said(page: Page, text: str) -> int:
    found: list[str] = page.evaluate("window.said")
    return found.count(text)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "page").mkdir()
    (tmp_path / "provider").mkdir()
    with (
        provider(tmp_path / "provider", "one") as login,
        static(tmp_path / "page") as origin,
        queue_stub() as queue,
        service(queue, oidc_issuers=login.issuer("one"), jwt_audience="push", cors_origins=origin) as chain,
    ):
        login.configure("one", redirect_uris=[f"{origin}/"])
        oidc = (EXAMPLES / "oidc.js").read_text()
        for old, new in (("https://login.example.com", login.issuer("one")), ('PUSH = ""', f'PUSH = "{chain.url}"')):
            assert oidc.count(old) == 1
            oidc = oidc.replace(old, new)
        files = {"index.html": HTML, "app.js": APP.replace("PUSH", chain.url), "oidc.js": oidc}
        for name, text in {**files, "client.js": CLIENT.read_text()}.items():
            (tmp_path / "page" / name).write_text(text)
        yield World(chain=chain, provider=login, origin=origin)


def test_a_page_signs_in_and_receives_its_users_events(world: World, new_page: NewPage) -> None:
    page = new_page()
    world.sign_in(page)
    expect(page.locator("#user")).to_have_text("ann")
    world.chain.put("of bob", user_id="bob", event_type="step")
    world.publish(3)
    world.expect_all(page)
    assert page.url == f"{world.origin}/", "the code must not stay in the address"
    stored: Any = page.evaluate("[Object.keys(localStorage), Object.keys(sessionStorage), document.cookie]")
    assert stored == [[], [], ""], "a script could read a token here"


def test_no_event_is_lost_or_doubled_while_tokens_expire_and_are_renewed(world: World, new_page: NewPage) -> None:
    world.provider.configure("one", token_seconds=3)
    page = new_page()
    world.sign_in(page)
    while said(page, "live") < 5:
        world.publish()
        page.wait_for_timeout(20)
    world.publish(3)
    world.expect_all(page)
    assert said(page, "load") == 1, "every later stream resumed"
    assert world.chain.metric('sse_streams_closed_total{reason="expired"}') >= 4
    assert world.provider.requests.count("POST /one/token") >= 5


def test_without_the_provider_an_open_stream_and_issued_tokens_go_on(world: World, new_page: NewPage) -> None:
    page = new_page()
    world.sign_in(page)
    issued = {"Authorization": f"Bearer {world.provider.token('one', 'ann')}"}
    world.provider.kill()
    world.publish(2)
    world.expect_all(page)
    with world.chain.client.stream("GET", f"{world.chain.url}/events", headers=issued) as response:
        assert response.status_code == 200
    assert world.chain.get("/healthz").status_code == 200
    assert said(page, "reconnecting") == 0


def test_a_page_whose_token_expired_resumes_when_the_provider_is_back(world: World, new_page: NewPage) -> None:
    world.provider.configure("one", token_seconds=3)
    page = new_page()
    world.sign_in(page)
    world.publish()
    world.expect_all(page)
    world.provider.kill()
    expect(page.locator("#status")).to_have_text("reconnecting")
    world.publish(2)
    world.provider.configure("one", token_seconds=600)
    world.provider.start()
    expect(page.locator("#status")).to_have_text("live")
    world.publish()
    world.expect_all(page)
    assert said(page, "load") == 1


def test_no_event_is_lost_or_doubled_when_the_provider_changes_its_key(world: World, new_page: NewPage) -> None:
    world.provider.configure("one", token_seconds=3)
    page = new_page()
    world.sign_in(page)
    world.publish()
    world.provider.rotate("one")
    before = said(page, "live")
    world.publish(2)
    # Until 30 s after the service's first fetch, a token of the new key is told to come back.
    page.wait_for_function(
        "count => window.said.filter((text) => text === 'live').length >= count", arg=before + 2, timeout=120_000
    )
    world.publish()
    world.expect_all(page)
    assert said(page, "load") == 1
    assert said(page, "closed") == 0


def test_after_a_reload_the_provider_knows_the_user(world: World, new_page: NewPage) -> None:
    page = new_page()
    world.sign_in(page)
    page.reload()
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#status")).to_have_text("live")
    expect(page.locator("#user")).to_have_text("ann")


def test_a_page_is_told_when_the_provider_has_ended_the_session(world: World, new_page: NewPage) -> None:
    world.provider.configure("one", token_seconds=3)
    page = new_page()
    world.sign_in(page)
    # No key of the refresh token is left.
    world.provider.keys["one"].clear()
    world.provider.rotate("one")
    page.wait_for_function("window.said.includes('userChanged null')")
    expect(page.locator("#status")).to_have_text("closed")


def test_signing_out_removes_the_cookie_and_ends_the_token(world: World, new_page: NewPage) -> None:
    page = new_page()
    world.sign_in(page)
    [token] = [cookie["value"] for cookie in page.context.cookies(world.chain.url)]
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#user")).to_have_text("nobody")
    assert page.context.cookies(world.chain.url) == []
    asked = "fetch(url, { credentials: 'include' }).then((answer) => answer.status)"
    assert page.evaluate(f"url => {asked}", f"{world.chain.url}/events") == 401
    # Whoever has copied the cookie before cannot use it any more.
    assert world.chain.get("/events", headers={"Cookie": f"sse_session={token}"}).status_code == 401


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#user")).to_have_text("nobody")
    expect(page.locator("#status")).to_have_text("closed")


def cookies(world: World, page: Page) -> list[str]:
    return [cookie["value"] for cookie in page.context.cookies(world.chain.url)]


@pytest.mark.parametrize("in_the_last", [False, True], ids=["in the tab of an older sign-in", "in the newest tab"])
def test_signing_out_in_one_tab_ends_the_others(world: World, new_page: NewPage, in_the_last: bool) -> None:
    first = new_page()
    world.sign_in(first)
    tokens = cookies(world, first)
    second = world.open_beside(first, new_page)
    tokens += cookies(world, first)
    asked: list[str] = []
    first.context.on("request", lambda request: asked.append(f"{request.method} {urlsplit(request.url).path}"))
    here, other = (second, first) if in_the_last else (first, second)
    sign_out(here)
    expect(other.locator("#status")).to_have_text("closed")
    other.wait_for_function("window.said.includes('userChanged null')")
    # A client that has closed opens no stream any more: it has no timer left.
    assert {"POST /session", "GET /events", "POST /one/token"}.isdisjoint(asked)
    assert cookies(world, first) == []
    world.chain.wait_for_metric("sse_streams_open", 0)
    # Each tab ends its own tokens.
    while world.provider.requests.count("POST /one/revoke") < 2:
        first.wait_for_timeout(20)
    for token in tokens:
        assert world.chain.get("/events", headers={"Cookie": f"sse_session={token}"}).status_code == 401


def test_a_tab_that_slept_through_a_sign_out_does_not_end_the_next_session(world: World, new_page: NewPage) -> None:
    first = new_page()
    world.sign_in(first)
    second = world.open_beside(first, new_page)
    with second.expect_request(lambda request: request.method == "DELETE") as ended:
        sign_out(first)
    assert "cookie" not in ended.value.all_headers(), "the cookie may be that of a later sign-in"
    assert "authorization" in ended.value.all_headers()


def test_a_tab_stops_although_it_cannot_tell_the_push_service(world: World, new_page: NewPage) -> None:
    first = new_page()
    world.sign_in(first)
    second = world.open_beside(first, new_page)
    # The cookie is the second tab's, so that tab's sign-out does not end the first one's stream.
    first.route("**/session", lambda route: route.abort())
    sign_out(second)
    expect(first.locator("#status")).to_have_text("closed")


def test_a_refresh_token_that_was_revoked_at_sign_out_is_refused(world: World, new_page: NewPage) -> None:
    page = new_page()
    with page.expect_response("**/one/token") as given:
        world.sign_in(page)
    with page.expect_response("**/one/revoke") as revoked:
        sign_out(page)
    assert revoked.value.status == 200
    form = {"grant_type": "refresh_token", "client_id": "push-page"}
    answer = httpx.post(
        f"{world.provider.issuer('one')}/token",
        data={**form, "refresh_token": given.value.json()["refresh_token"]},
        trust_env=False,
    )
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_grant"})


@pytest.mark.parametrize("fault", ["refused", "away"])
def test_a_provider_that_revokes_nothing_does_not_keep_the_user_signed_in(
    world: World, new_page: NewPage, fault: str
) -> None:
    page = new_page()
    world.sign_in(page)
    page.route("**/one/revoke", lambda route: route.abort() if fault == "away" else route.fulfill(status=503))
    with page.expect_console_message(lambda message: message.type == "error" and "Error:" in message.text):
        sign_out(page)
    assert cookies(world, page) == []


def test_a_sign_in_that_another_page_began_is_not_taken(world: World, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{world.origin}/?code=stolen&state=of-the-attacker")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert "POST /one/token" not in world.provider.requests
