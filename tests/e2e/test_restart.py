"""``serve`` restarts while an application's page is open."""

import asyncio
import signal
import socket
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from sse_service.auth.tokens.signing import TokenSigner
from sse_service.client.files import CLIENT
from sse_service.dev.emulator import Emulator
from sse_service.dev.moto_server import MotoServer
from tests.e2e.conftest import NewPage
from tests.integration.emulated import create_resources
from tests.integration.process import Process

SECRET = "a-secret-of-the-tests-long-enough-for-HS256"
HTML = """<!doctype html><link rel="icon" href="data:,"><p id="status"></p><ol id="seen"></ol>
<script type="module" src="/app/app.js"></script>"""
APP = """
import { PushClient } from "/app/client.js";
const add = (text) => document.querySelector("#seen").append(
  Object.assign(document.createElement("li"), { textContent: text }));
new PushClient({
  types: ["step"],
  session: async () => {
    const { token, ...answer } = await (await fetch("/app/token")).json();
    const opened = await fetch("/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
    if (!opened.ok) throw new Error(opened.status);
    return answer;
  },
  load: async () => add((await (await fetch("/app/state")).json()).state),
  apply: (event) => add(event.data),
  status: (text) => { document.querySelector("#status").textContent = text; },
  userChanged: (user) => add(`userChanged ${user}`),
});
"""


def in_thread(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in another thread, because Playwright's event loop runs in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@pytest.fixture
def aws() -> Iterator[Emulator]:
    server = MotoServer()
    try:
        # Short, because the messages of a killed task stay invisible for this long.
        yield in_thread(create_resources(Emulator(endpoint_url=server.url), visibility_seconds=3))
    finally:
        server.stop()


def publish(aws: Emulator, *texts: str) -> None:
    async def send() -> None:
        attributes = {
            name: {"DataType": "String", "StringValue": value}
            for name, value in (("user_id", "ann"), ("event_type", "step"))
        }
        async with aws.client("sns") as sns:
            for text in texts:
                await sns.publish(TopicArn=aws.topic_arn, Message=text, MessageAttributes=attributes)

    in_thread(send())


@contextmanager
def serve(aws: Emulator, port: int) -> Iterator[Process]:
    env = {
        **aws.environment,
        "SSE_QUEUE_URL": aws.queue_url,
        "SSE_JWT_SECRET": SECRET,
        "SSE_SINGLE_TASK": "true",
        "SSE_SQS_POLLERS": "1",
        "SSE_DRAIN_SECONDS": "1",
        "SSE_ADMIN_PORT": "0",
    }
    with Process("sse_service", "serve", "--port", str(port), env=env) as process:
        process.wait_for(r"listening on")
        yield process


def open_app(page: Page, url: str) -> None:
    """Open a page whose back end has the service's origin, as if both were behind one load balancer."""
    answers = {
        "": ("text/html", HTML),
        "app.js": ("text/javascript", APP),
        "client.js": ("text/javascript", CLIENT.read_text()),
        "state": ("application/json", '{"state": "state"}'),
    }

    def answer(route: Route) -> None:
        name = route.request.url.removeprefix(f"{url}/app/")
        if name == "token":
            token = TokenSigner(secret=SECRET).sign("ann")
            route.fulfill(json={"token": token, "user": "ann", "expires_in": 3600})
        else:
            kind, body = answers[name]
            route.fulfill(content_type=kind, body=body)

    page.route("**/app/**", answer)
    page.goto(f"{url}/app/")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_page_survives_a_restart_and_misses_nothing(aws: Emulator, new_page: NewPage, how: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    page = new_page()
    status, seen = page.locator("#status"), page.locator("#seen li")
    with serve(aws, port) as first:
        open_app(page, f"http://127.0.0.1:{port}")
        expect(status).to_have_text("live")
        publish(aws, "1", "2")
        expect(seen).to_have_text(["state", "1", "2"])
        first.signal(how)
        first.wait()
    expect(status).to_have_text("reconnecting")
    publish(aws, "3", "4")
    with serve(aws, port) as second:
        # The new process has no history and says so. The page fetches the state, then gets what waited in the queue.
        expect(status).to_have_text("live")
        for text in ("3", "4"):
            expect(seen.filter(has_text=text)).to_have_count(1)
        texts = seen.all_text_contents()
        assert texts[:4] == ["state", "1", "2", "state"]
        # A killed task may not have deleted the messages it delivered. After a gap, and only there, they may repeat.
        assert set(texts[4:]) - {"1", "2"} == {"3", "4"}
        assert len(set(texts[4:])) == len(texts[4:])
        publish(aws, "5")
        expect(seen.filter(has_text="5")).to_have_count(1)
        second.signal(signal.SIGTERM)
        assert second.wait() == 0
