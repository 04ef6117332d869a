"""The Django example says who is behind a session cookie, and revokes at sign-out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.deploy.examples.admin_port import AdminPort
from tests.e2e.django_site.process import NOWHERE, django_site


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
