"""The Express example says who is behind a session cookie, and revokes at sign-out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.examples.admin_port import AdminPort
from tests.deploy.examples.files import EXAMPLES, run_node
from tests.e2e.django_site.process import NOWHERE

FOREVER = 10**9
"""Milliseconds or seconds that a session lasts, where it does not matter."""

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
    return run_node(directory, [handler, request], PUSH_ADMIN_URL=admin_url)


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
