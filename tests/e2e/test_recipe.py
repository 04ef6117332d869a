"""client.js with a service whose answers the test chooses one by one."""

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from sse_service.client.files import CLIENT
from tests.e2e.conftest import NewPage

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
ORIGIN = "http://app.test"
HTML = '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/app.js"></script>'
APP = """
import { PushClient } from "/client.js";
window.seen = [];
const note = (...said) => window.seen.push(said.join(" "));
const ask = async (path) => {
  const answer = await fetch(path);
  if (answer.status === 401) return null;
  if (!answer.ok) throw new Error(`${path} is ${answer.status}`);
  return answer.json();
};
window.push = new PushClient({
  types: ["step"],
  transport: "sse",
  session: () => ask("/token"),
  load: async () => note("load", await ask("/state")),
  apply: (event) => note("apply", event.data),
  status: (text) => note(text),
  userChanged: (user) => note("userChanged", user),
});
"""


def block(kind: str, data: Any, **fields: Any) -> str:
    lines = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return f"event: {kind}\ndata: {json.dumps(data)}\n{lines}\n"


def ready(*, resumed: bool = False, user: str = "ann", retry: int = 600_000) -> str:
    """Return a stream.ready. Its long retry keeps the browser from reconnecting by itself."""
    return block("stream.ready", {"resumed": resumed, "user": user}, retry=retry)


class Service:
    """Gives the answers of each path in turn, and repeats the last one. Holds back an answer of status 0."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.answers: dict[str, deque[tuple[int, str]]] = {
            "/": deque([(200, HTML)]),
            "/app.js": deque([(200, APP)]),
            "/client.js": deque([(200, CLIENT.read_text())]),
            "/token": deque([(200, json.dumps({"user": "ann", "expires_in": 900}))]),
            "/state": deque([(200, '"one"')]),
            "/events": deque([(200, ready())]),
        }
        self.held: dict[str, Callable[[], None]] = {}
        page.route("**/*", self._answer)

    def _answer(self, route: Route) -> None:
        url = route.request.url.removeprefix(ORIGIN)
        path = url.partition("?")[0]
        self.asked.append(url)
        answers = self.answers[path]
        status, body = answers.popleft() if len(answers) > 1 else answers[0]
        kind = {"/": "text/html", "/events": "text/event-stream"}.get(path, "application/json")
        kind = "text/javascript" if path.endswith(".js") else kind
        if status == 0:
            self.held[path] = lambda: route.fulfill(status=200, content_type=kind, body=body)
        else:
            route.fulfill(status=status, content_type=kind, body=body)

    def count(self, path: str) -> int:
        return sum(url.partition("?")[0] == path for url in self.asked)

    def start(self, **answers: list[tuple[int, str]]) -> None:
        for name, given in answers.items():
            self.answers[f"/{name}"] = deque(given)
        self.page.goto(f"{ORIGIN}/")

    def wait_for_held(self, path: str) -> None:
        """Wait for a request whose answer is held back."""
        while path not in self.held:
            self.page.wait_for_timeout(10)

    def saw(self, *said: str) -> None:
        """Wait until the page has reported these lines in this order. Others may come in between."""
        self.page.wait_for_function(
            "said => (window.seen ?? []).reduce((n, one) => n + (one === said[n]), 0) === said.length",
            arg=list(said),
        )

    @property
    def seen(self) -> list[str]:
        seen: list[str] = self.page.evaluate("window.seen")
        return seen


@pytest.fixture
def service(new_page: NewPage) -> Service:
    return Service(new_page())


def test_ready_and_gap_together_cause_one_fetch_and_events_wait_for_it(service: Service) -> None:
    gap = block("stream.gap", {"reason": "epoch"}, id="e.1.0")
    service.start(events=[(200, ready() + gap + block("step", 1) + block("step", 2))], state=[(0, '"state"')])
    service.wait_for_held("/state")
    assert "live" in service.seen
    assert not [said for said in service.seen if said.startswith("apply")]
    service.held["/state"]()
    service.saw("load state", "apply 1", "apply 2")
    assert service.count("/state") == 1


def test_a_resumed_stream_needs_no_fetch(service: Service) -> None:
    service.start(events=[(200, ready(resumed=True) + block("step", 1))])
    service.saw("live", "apply 1")
    assert service.count("/state") == 0


def test_a_failed_fetch_of_the_state_is_retried_while_events_wait(service: Service) -> None:
    service.start(events=[(200, ready() + block("step", 1))], state=[(500, ""), (200, '"late"')])
    service.saw("load late", "apply 1")
    assert service.seen.count("apply 1") == 1


def test_an_expired_stream_is_reopened_with_a_new_token_where_it_ended(service: Service) -> None:
    closed = block("step", 1, id="e.1.a") + block("stream.close", {"reason": "expired", "reconnect": False})
    service.start(events=[(200, ready() + closed), (200, ready(resumed=True) + block("step", 2, id="e.2.b"))])
    service.saw("live", "reconnecting", "live", "apply 2")
    assert service.count("/token") == 2
    assert [url for url in service.asked if url.startswith("/events")] == [
        "/events?types=step&heartbeat=event",
        "/events?types=step&heartbeat=event&lastEventId=e.1.a",
    ]


def test_a_refused_stream_is_reopened_with_a_new_token(service: Service) -> None:
    service.start(events=[(401, ""), (503, ""), (200, ready())])
    service.saw("reconnecting", "live", "load one")
    assert service.count("/token") == 2


def test_an_unavailable_back_end_is_asked_again(service: Service) -> None:
    service.start(token=[(503, ""), (200, json.dumps({"user": "ann", "expires_in": 900}))])
    service.saw("connecting", "reconnecting", "live")


def console_errors(service: Service) -> list[str]:
    """Collect what the page writes with console.error from now on."""
    errors: list[str] = []
    service.page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    return errors


def test_why_a_session_failed_is_in_the_console(service: Service) -> None:
    errors = console_errors(service)
    service.start(token=[(400, ""), (200, json.dumps({"user": "ann", "expires_in": 900}))])
    service.saw("connecting", "reconnecting", "live")
    assert sum("/token is 400" in text for text in errors) == 1


def test_the_example_pages_session_throws_the_reason_that_the_service_gives(service: Service) -> None:
    problem = {"title": "Bad Request", "status": 400, "detail": "the token makes a cookie of 5000 bytes"}
    service.answers |= {
        "/jobs.js": deque([(200, (EXAMPLES / "jobs.js").read_text())]),
        "/my/token": deque([(200, json.dumps({"token": "t", "user": "ann", "expires_in": 900}))]),
        "/session": deque([(400, json.dumps(problem))]),
    }
    service.start()
    thrown = service.page.evaluate("import('/jobs.js').then((jobs) => jobs.session()).catch((error) => error.message)")
    assert problem["detail"] in thrown


def test_why_a_session_could_not_be_renewed_is_in_the_console(service: Service) -> None:
    service.page.clock.install()
    errors = console_errors(service)
    service.start(token=[(200, json.dumps({"user": "ann", "expires_in": 900})), (400, "")])
    service.saw("live")
    with service.page.expect_console_message(lambda message: "/token is 400" in message.text):
        service.page.clock.run_for(720_000)
    assert sum("/token is 400" in text for text in errors) == 1


def test_why_the_state_could_not_be_fetched_is_in_the_console(service: Service) -> None:
    errors = console_errors(service)
    service.start(state=[(500, ""), (200, '"late"')])
    service.saw("load late")
    assert sum("/state is 500" in text for text in errors) == 1


def test_a_stream_of_another_user_is_closed(service: Service) -> None:
    service.start(events=[(200, ready(user="bob") + block("step", 1))])
    service.saw("closed", "userChanged bob")
    assert "apply 1" not in service.seen


def test_a_token_of_another_user_closes_the_stream(service: Service) -> None:
    bob = json.dumps({"user": "bob", "expires_in": 900})
    ann = json.dumps({"user": "ann", "expires_in": 900})
    service.start(token=[(200, ann), (200, bob)])
    service.saw("live")
    service.page.evaluate("window.push.reconnect()")
    service.saw("live", "closed", "userChanged bob")


def test_a_page_where_nobody_is_signed_in_gets_no_stream_and_is_told_of_no_change(service: Service) -> None:
    service.start(token=[(401, "")])
    service.saw("connecting", "closed")
    assert service.count("/events") == 0
    # A page reloads when the user changes. If it were told of one now, it would reload without end.
    assert "userChanged " not in service.seen


def test_a_user_who_signs_out_is_reported(service: Service) -> None:
    service.start(token=[(200, json.dumps({"user": "ann", "expires_in": 900})), (401, "")])
    service.saw("live")
    service.page.evaluate("window.push.reconnect()")
    service.saw("live", "closed", "userChanged ")


def test_the_session_is_renewed_before_it_expires(service: Service) -> None:
    service.page.clock.install()
    service.start()
    service.saw("live")
    service.page.clock.run_for(1000)
    assert service.count("/token") == 1
    with service.page.expect_request("**/token"):
        service.page.clock.run_for(720_000)


def test_after_stop_no_request_is_sent(service: Service) -> None:
    service.page.clock.install()
    service.start()
    service.saw("live", "load one")
    service.page.evaluate("window.push.close()")
    service.saw("closed")
    asked = len(service.asked)
    service.page.clock.run_for(3_600_000)
    assert len(service.asked) == asked


def test_after_stop_a_session_that_fails_late_starts_nothing(service: Service) -> None:
    service.page.clock.install()
    service.start(token=[(0, "no JSON"), (200, json.dumps({"user": "ann", "expires_in": 900}))])
    service.wait_for_held("/token")
    service.page.evaluate("window.push.close()")
    with service.page.expect_response("**/token") as answered:
        service.held["/token"]()
    answered.value.finished()
    service.page.clock.run_for(3_600_000)
    assert service.seen[-1] == "closed"
    assert service.count("/token") == 1


def test_an_older_state_never_overwrites_a_newer_one(service: Service) -> None:
    service.page.clock.install()
    service.start(state=[(0, '"older"'), (200, '"newer"')])
    service.saw("live")
    service.page.clock.run_for(1000)
    service.wait_for_held("/state")
    # The first answer may be older than the events of the second stream.
    service.page.evaluate("window.push.reconnect()")
    service.page.clock.run_for(1000)
    service.saw("live", "live")
    service.page.clock.run_for(1000)
    assert service.count("/state") == 1
    service.held["/state"]()
    service.saw("load older", "load newer")
    assert [said for said in service.seen if said.startswith("load")] == ["load older", "load newer"]
