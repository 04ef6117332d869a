"""A page with client.js on one origin, and the service on another origin of the same site."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sse_service.auth.tokens.signing import TokenSigner
from sse_service.client.files import CLIENT
from tests.e2e.conftest import NewPage
from tests.integration.chain import SECRET
from tests.integration.process import Process

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
HTML = '<!doctype html><link rel="icon" href="data:,"><ul id="jobs"></ul><script type="module" src="/page.js"></script>'


class BackEnd:
    """An application's back end: its page, its tokens and its state."""

    def __init__(self) -> None:
        files = {"/client.js": CLIENT, **{f"/{path.name}": path for path in EXAMPLES.glob("*.js")}}
        self.answers = {name: ("text/javascript", path.read_text()) for name, path in files.items()}
        token = TokenSigner(secret=SECRET).sign("ann")
        self.answers["/"] = ("text/html", HTML)
        self.answers["/my/token"] = ("application/json", json.dumps({"token": token, "user": "ann", "expires_in": 900}))
        self.answers["/my/jobs"] = ("application/json", "[]")
        answers = self.answers

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, text = answers[self.path]
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(text.encode())

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> BackEnd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def back_end() -> Iterator[BackEnd]:
    with BackEnd() as running:
        yield running


def test_a_page_of_another_origin_receives_events(back_end: BackEnd, new_page: NewPage) -> None:
    env = {"SSE_JWT_SECRET": SECRET, "SSE_CORS_ORIGINS": back_end.origin}
    with Process("sse_service", "dev", "--port", "0", env=env) as process:
        push = process.wait_for(r"(?m)^(http://127\.0\.0\.1:\d+)/$")[1]
        publish = process.wait_for(r"(?m)^SSE_TOPIC_ARN=(\S+) AWS_ENDPOINT_URL=(\S+) ")
        kind, text = back_end.answers["/jobs.js"]
        back_end.answers["/jobs.js"] = (kind, text.replace('PUSH = ""', f'PUSH = "{push}"'))
        page = new_page()
        page.goto(f"{back_end.origin}/")
        page.wait_for_function("document.title === 'live'")
        aws = {
            "AWS_ENDPOINT_URL": publish[2],
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        event = json.dumps({"job": "7", "step": 1, "state": "done"})
        sent = ("publish", "--user", "ann", "--type", "job.done", event)
        with Process("sse_service", *sent, env={**aws, "SSE_TOPIC_ARN": publish[1]}) as publishing:
            assert publishing.wait() == 0
        page.get_by_text("7: done").wait_for()
