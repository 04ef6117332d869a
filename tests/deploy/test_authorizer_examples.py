"""The examples of a back end that says who is behind a session cookie give the answers that the service asks for."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from sse_service.dev.moto_server import MotoServer
from tests.deploy.test_examples import EXAMPLES, NODE
from tests.e2e.django_site.process import NOWHERE, django_site
from tests.integration.process import PROGRAM_DEADLINE

FOREVER = 10**9
"""Milliseconds or seconds that a session lasts, where it does not matter."""


class AdminPort:
    """Stands for the push service's admin port. Remembers what it is asked to revoke."""

    def __init__(self) -> None:
        self.revoked: list[Any] = []
        self.on_revoke: Callable[[], Any] = lambda: None
        """Is called before the answer."""
        revoked, port = self.revoked, self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert (self.path, self.headers["Content-Type"]) == ("/revoke", "application/json")
                revoked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                port.on_revoke()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> AdminPort:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def admin() -> Iterator[AdminPort]:
    with AdminPort() as port:
        yield port


# Django


@pytest.fixture(scope="module")
def site(admin: AdminPort, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with django_site(tmp_path_factory.mktemp("django"), admin_url=admin.url) as (_, origin):
        yield origin


@contextmanager
def signed_in(site: str, user: str) -> Iterator[httpx.Client]:
    """Sign in by the form, as a browser does."""
    with httpx.Client(base_url=site, trust_env=False) as browser:
        browser.get("/accounts/login/")
        form = {"username": user, "password": user, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert browser.post("/accounts/login/", data=form).status_code == 302
        yield browser


def sign_out(browser: httpx.Client) -> httpx.Response:
    return browser.post("/sign-out", data={"csrfmiddlewaretoken": browser.cookies["csrftoken"]})


def ask(site: str, session: str | None) -> httpx.Response:
    """Ask as the push service does."""
    headers = {"Accept": "application/json"} | ({"Cookie": f"sessionid={session}"} if session else {})
    return httpx.get(f"{site}/push/user", headers=headers, trust_env=False)


@pytest.mark.parametrize(("user", "number", "groups"), [("ann", "1", ["ops"]), ("bob", "2", [])])
def test_django_names_the_user_of_a_session(site: str, user: str, number: str, groups: list[str]) -> None:
    with signed_in(site, user) as browser:
        answer = ask(site, browser.cookies["sessionid"])
    assert answer.status_code == 200
    assert answer.json() == {"user": number, "groups": groups, "expires_in": 900}
    assert "no-store" in answer.headers["Cache-Control"]


def test_django_says_when_a_session_with_a_fixed_end_is_over(site: str) -> None:
    with signed_in(site, "ann") as browser:
        assert browser.get("/end-in/60").status_code == 200
        answer = ask(site, browser.cookies["sessionid"]).json()
    assert 0 < answer["expires_in"] <= 60


@pytest.mark.parametrize("session", [None, "unknown"])
def test_django_answers_401_and_no_redirect_without_a_session(site: str, session: str | None) -> None:
    # The site redirects other requests to its login page.
    assert httpx.get(f"{site}/", trust_env=False).status_code == 302
    assert ask(site, session).status_code == 401


def test_django_gives_no_answer_to_a_host_that_it_does_not_allow(site: str) -> None:
    with signed_in(site, "ann") as browser:
        assert browser.get("/push/user", headers={"Host": "backend.internal"}).status_code == 400


def test_django_revokes_after_the_session_is_gone(site: str, admin: AdminPort) -> None:
    answers: list[int] = []
    with signed_in(site, "ann") as browser:
        session = browser.cookies["sessionid"]
        admin.on_revoke = lambda: answers.append(ask(site, session).status_code)
        admin.revoked.clear()
        assert sign_out(browser).status_code == 302
    assert admin.revoked == [{"user": "1"}]
    assert answers == [401]


def test_django_signs_out_while_the_push_service_is_away(tmp_path: Path) -> None:
    with django_site(tmp_path, admin_url=NOWHERE) as (process, origin), signed_in(origin, "ann") as browser:
        session = browser.cookies["sessionid"]
        assert sign_out(browser).status_code == 302
        assert ask(origin, session).status_code == 401
        process.wait_for("the streams of user 1 could not be ended: they end within 900 s")


# Express

RUN = """
import { pushUser, signOut } from "./express.mjs";
const [handler, given] = JSON.parse(process.argv[2]);
const did = {};
const response = {
  set: (name, value) => ((did[name] = value), response),
  status: (status) => ((did.status = status), response),
  json: (body) => Object.assign(did, { status: did.status ?? 200, body }),
  redirect: (status, to) => Object.assign(did, { status, to }),
};
if (given.session) given.session.destroy = (done) => {
  did.before = globalThis.revoked ?? false;
  done(given.broken && new Error("store"));
};
const { fetch } = globalThis;
globalThis.fetch = (...asked) => ((globalThis.revoked = true), fetch(...asked));
await new Promise((resolve) => {
  for (const end of ["json", "redirect"]) {
    const run = response[end];
    response[end] = (...said) => (run(...said), resolve());
  }
  const next = (error) => resolve((did.error = error.message));
  ({ pushUser, signOut })[handler](given, response, next);
});
console.log(JSON.stringify(did));
"""


def express(directory: Path, handler: str, request: Any, *, admin_url: str = NOWHERE) -> Any:
    """Call a handler with a request, and return what it did with the response."""
    (directory / "express.mjs").write_text((EXAMPLES / "express.mjs").read_text())
    (directory / "run.mjs").write_text(RUN)
    assert NODE.exists(), "needs Playwright: pip install playwright"
    ran = subprocess.run(
        [NODE, "run.mjs", json.dumps([handler, request])],
        cwd=directory,
        env={"PUSH_ADMIN_URL": admin_url},
        capture_output=True,
        text=True,
        timeout=PROGRAM_DEADLINE,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def session(max_age: float | None = FOREVER) -> Any:
    """Return express-session's session, of which so many milliseconds are left."""
    return {"cookie": {"maxAge": max_age}}


@pytest.mark.parametrize(("left", "seconds"), [(FOREVER, 900), (None, 900), (60_500, 60)])
def test_express_names_the_user_of_a_session(tmp_path: Path, left: float | None, seconds: int) -> None:
    did = express(tmp_path, "pushUser", {"session": session(left), "user": {"id": 42, "groups": ["ops"]}})
    body = {"user": "42", "groups": ["ops"], "expires_in": seconds}
    assert did == {"status": 200, "body": body, "Cache-Control": "no-store"}


def test_express_names_a_user_without_groups(tmp_path: Path) -> None:
    did = express(tmp_path, "pushUser", {"session": session(), "user": {"id": "u-1"}})
    assert did["body"] == {"user": "u-1", "groups": [], "expires_in": 900}


@pytest.mark.parametrize(
    "request_",
    [{}, {"session": session()}, {"session": session(999), "user": {"id": 42}}],
    ids=["no session", "nobody signed in", "session over"],
)
def test_express_answers_401_without_a_session(tmp_path: Path, request_: Any) -> None:
    assert express(tmp_path, "pushUser", request_) == {"status": 401, "body": {}, "Cache-Control": "no-store"}


def test_express_revokes_after_the_session_is_gone(tmp_path: Path, admin: AdminPort) -> None:
    admin.on_revoke = lambda: None
    admin.revoked.clear()
    did = express(tmp_path, "signOut", {"session": session(), "user": {"id": 42}}, admin_url=admin.url)
    assert did == {"before": False, "status": 303, "to": "/"}
    assert admin.revoked == [{"user": "42"}]


def test_express_signs_out_while_the_push_service_is_away(tmp_path: Path) -> None:
    did = express(tmp_path, "signOut", {"session": session(), "user": {"id": 42}})
    assert did == {"before": False, "status": 303, "to": "/"}


def test_express_revokes_nothing_if_the_session_could_not_be_ended(tmp_path: Path, admin: AdminPort) -> None:
    admin.revoked.clear()
    request = {"session": session(), "user": {"id": 42}, "broken": True}
    assert express(tmp_path, "signOut", request, admin_url=admin.url) == {"before": False, "error": "store"}
    assert admin.revoked == []


# Lambda


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[str]:
    server = MotoServer()
    yield server.url
    server.stop()


@pytest.fixture
def function(dynamodb: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The Lambda's module, with a table that has no sessions yet."""
    environment = {
        "AWS_ENDPOINT_URL": dynamodb,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "NO_PROXY": "127.0.0.1",
        "SESSIONS_TABLE": "sessions",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("lambda_url", EXAMPLES / "lambda_url.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    client = module.sessions.meta.client
    client.create_table(
        TableName="sessions",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield module
    if "sessions" in client.list_tables()["TableNames"]:
        client.delete_table(TableName="sessions")
    client.close()


def store(function: ModuleType, cookie: str, *, seconds: int = FOREVER, **fields: Any) -> None:
    """Store a session, as the back end does at sign-in."""
    key = hashlib.sha256(cookie.encode()).hexdigest()
    function.sessions.put_item(Item={"id": key, "user": "42", "expires": int(time.time()) + seconds, **fields})


def invoke(function: ModuleType, *cookies: str) -> tuple[int, Any]:
    """Call the function as its URL does (payload format 2.0)."""
    event: dict[str, Any] = {
        "version": "2.0",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"accept": "application/json"},
        "requestContext": {"http": {"method": "GET", "path": "/"}},
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = list(cookies)
    answer = function.handler(event, None)
    assert answer["headers"] == {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize("groups", [["ops", "all"], {"ops", "all"}], ids=["list", "set"])
def test_the_lambda_names_the_user_of_a_session(function: ModuleType, groups: Any) -> None:
    store(function, "secret=1", groups=groups)
    answer = invoke(function, "theme=dark", "session=secret=1")
    assert answer == (200, {"user": "42", "groups": ["all", "ops"], "expires_in": 900})


def test_the_lambda_says_when_a_session_is_over(function: ModuleType) -> None:
    store(function, "secret", seconds=60)
    status, body = invoke(function, "session=secret")
    assert (status, body["groups"]) == (200, [])
    assert 0 < body["expires_in"] <= 60


def test_the_lambda_answers_every_other_cookie_in_the_same_way(function: ModuleType) -> None:
    store(function, "secret")
    store(function, "other")
    store(function, "over", seconds=0)
    stored = hashlib.sha256(b"secret").hexdigest()
    refused = [(), ("session=",), ("session=unknown",), ("session=over",), ("Session=secret",), (f"session={stored}",)]
    refused += [("session=secret", "session=other"), ("session=secret", "session=unknown")]
    assert [invoke(function, *cookies) for cookies in refused] == [(401, {})] * len(refused)


def test_the_lambda_forgets_a_session_that_was_deleted(function: ModuleType) -> None:
    store(function, "secret")
    assert invoke(function, "session=secret")[0] == 200
    function.sessions.delete_item(Key={"id": hashlib.sha256(b"secret").hexdigest()})
    assert invoke(function, "session=secret")[0] == 401


def test_the_lambda_fails_and_does_not_answer_401_while_the_table_cannot_be_read(function: ModuleType) -> None:
    store(function, "secret")
    function.sessions.meta.client.delete_table(TableName="sessions")
    with pytest.raises(ClientError):
        invoke(function, "session=secret")
