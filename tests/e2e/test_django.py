"""A Django site's own session cookie opens streams: the service asks the site who is behind it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from sse_service.dev.emulator import Emulator
from tests.e2e.conftest import NewPage
from tests.e2e.django_site.process import django_site
from tests.e2e.django_site.templates import static_files
from tests.e2e.test_restart import aws, in_thread  # noqa: F401  the fixture
from tests.integration.process import DEADLINE, Process
from tests.ports import free_port

NUMBERS = {"ann": "1", "bob": "2"}
TIMEOUT = DEADLINE * 1000
"""In milliseconds."""


class World:
    """A Django site and the push service, on two ports of one host: two origins of one site, which share cookies."""

    def __init__(self, aws: Emulator, directory: Path) -> None:  # noqa: F811  the fixture
        self._aws = aws
        self._directory = directory
        self._ports = [free_port() for _ in range(3)]
        self.site, self.push, self.admin = (f"http://127.0.0.1:{port}" for port in self._ports)

    @contextmanager
    def django(self, *, revokes: bool = True, seconds: int = 900) -> Iterator[Process]:
        """Run the site. Sessions outlive a restart."""
        admin = self.admin if revokes else "http://127.0.0.1:1"
        given = {"port": self._ports[0], "push_url": self.push, "admin_url": admin, "seconds": seconds}
        with django_site(self._directory, **given) as (process, _):
            yield process

    @contextmanager
    def service(self) -> Iterator[Process]:
        env = {
            **self._aws.environment,
            "NO_PROXY": "127.0.0.1",
            "SSE_QUEUE_URL": self._aws.queue_url,
            "SSE_SINGLE_TASK": "true",
            "SSE_SQS_POLLERS": "1",
            "SSE_DRAIN_SECONDS": "1",
            "SSE_ADMIN_PORT": str(self._ports[2]),
            "SSE_AUTHORIZER_URL": f"{self.site}/push/user",
            "SSE_CORS_ORIGINS": self.site,
        }
        with Process("sse_service", "serve", "--port", str(self._ports[1]), env=env) as process:
            process.wait_for(r"listening on")
            yield process

    def publish(self, *jobs: str, user: str = "", group: str = "") -> None:
        """Publish that these jobs of a user or group are done."""
        to = {"user_id": NUMBERS[user]} if user else {"group": group}
        attributes = {
            name: {"DataType": "String", "StringValue": text} for name, text in {**to, "event_type": "job.done"}.items()
        }

        async def send() -> None:
            async with self._aws.client("sns") as sns:
                for job in jobs:
                    text = json.dumps({"job": job, "step": 1, "state": "done"})
                    await sns.publish(TopicArn=self._aws.topic_arn, Message=text, MessageAttributes=attributes)

        in_thread(send())

    def sign_in(self, page: Page, user: str, *, then: str = "/") -> None:
        """Sign in by the site's form. It leads to the page with the stream, or to ``then``."""
        page.goto(f"{self.site}/accounts/login/?next={then}")
        page.get_by_label("Username").fill(user)
        page.get_by_label("Password").fill(user)
        page.get_by_role("button", name="Sign in").click()

    def status(self, cookie: str) -> int:
        """Return the status of a new stream with this cookie."""
        with httpx.stream("GET", f"{self.push}/events", headers={"Cookie": cookie}, trust_env=False) as answer:
            return answer.status_code


@pytest.fixture
def world(aws: Emulator, tmp_path: Path) -> World:  # noqa: F811  the fixture
    return World(aws, tmp_path)


def shows(page: Page, *lines: str) -> None:
    """Wait until the page has these lines and no other."""
    expect(page.locator("#jobs li")).to_have_text(list(lines), timeout=TIMEOUT)


def shows_last(page: Page, line: str) -> None:
    expect(page.locator("#jobs li").last).to_have_text(line, timeout=TIMEOUT)


def has_title(page: Page, title: str) -> None:
    """Wait until the page has this title: the state of its stream, or that of the sign-in form."""
    expect(page).to_have_title(title, timeout=TIMEOUT)


def test_a_user_who_is_signed_in_to_django_gets_own_events(world: World, new_page: NewPage) -> None:
    anns, bobs = new_page(), new_page()
    with world.django(), world.service():
        world.sign_in(anns, "ann")
        world.sign_in(bobs, "bob")
        has_title(anns, "live")
        has_title(bobs, "live")
        world.publish("a", user="ann")
        world.publish("b", user="bob")
        world.publish("c", group="ops")
        shows(anns, "a: done", "c: done")
        shows(bobs, "b: done")


def test_a_sign_out_ends_the_streams_of_that_browser_and_the_next_user_gets_own_events(
    world: World, new_page: NewPage
) -> None:
    page, device = new_page(), new_page()
    with world.django(), world.service():
        with page.expect_request(f"{world.push}/events?*") as asked:
            world.sign_in(page, "ann")
        cookie = asked.value.all_headers()["cookie"]
        world.sign_in(device, "ann")
        has_title(page, "live")
        has_title(device, "live")
        second = new_page(beside=page)
        second.goto(world.site)
        has_title(second, "live")
        assert world.status(cookie) == 200

        # The other device, where Ann is still signed in, gets a new stream.
        with device.expect_response(lambda answer: answer.url.startswith(f"{world.push}/events") and answer.ok):
            second.get_by_role("button", name="Sign out").click()
            has_title(page, "Sign in")
        assert world.status(cookie) == 401
        has_title(device, "live")

        world.sign_in(page, "bob")
        has_title(page, "live")
        world.publish("a", user="ann")
        world.publish("b", user="bob")
        shows(page, "b: done")
        shows(device, "a: done")


def test_a_user_who_signs_out_keeps_a_stream_only_until_the_answer_expires_if_nothing_is_revoked(
    world: World, new_page: NewPage
) -> None:
    page = new_page()
    with world.django(revokes=False, seconds=3), world.service():
        world.sign_in(page, "ann")
        has_title(page, "live")
        second = new_page(beside=page)
        second.goto(world.site)
        second.get_by_role("button", name="Sign out").click()
        has_title(page, "Sign in")


def test_an_answer_that_expires_is_renewed_without_a_lost_event(world: World, new_page: NewPage) -> None:
    page = new_page()
    with world.django(seconds=2), world.service():
        world.sign_in(page, "ann")
        has_title(page, "live")
        jobs = []
        for number in range(5):
            # The EventSource comes back by itself, because the same cookie is good for a new answer.
            with page.expect_response(f"{world.push}/events?*"):
                jobs.append(f"{number}")
                world.publish(jobs[-1], user="ann")
        shows(page, *(f"{job}: done" for job in jobs))


@pytest.mark.parametrize("path", ["/recipe", "/bare"], ids=["with client.js", "with an EventSource alone"])
def test_a_page_that_is_opened_while_django_is_away_gets_its_stream_as_soon_as_django_is_back(
    world: World, new_page: NewPage, path: str
) -> None:
    open_before, opened_while_away = new_page(), new_page()
    with world.service() as service:
        with world.django() as django:
            world.sign_in(open_before, "ann")
            has_title(open_before, "live")
            world.sign_in(opened_while_away, "bob", then="/my/jobs")
            opened_while_away.wait_for_url(f"{world.site}/my/jobs")
            django.signal(signal.SIGKILL)
            django.wait()

        # The stream that is open goes on.
        world.publish("a", user="ann")
        shows(open_before, "a: done")

        open_without_django(opened_while_away, world, path)
        if path == "/bare":
            # Not a 401, after which an EventSource gives up for good.
            shows_last(opened_while_away, "limit")
            service.wait_for("the authorizer did not answer: it cannot be reached")
        else:
            has_title(opened_while_away, "reconnecting")

        with world.django():
            has_title(opened_while_away, "live")
            world.publish("b", user="bob")
            shows_last(opened_while_away, "b: done")
            has_title(open_before, "live")


def open_without_django(page: Page, world: World, path: str) -> None:
    """Open a page of the site whose files come from elsewhere, as from a CDN.

    The document is written into one that was loaded from the site: Chromium lets no other reach 127.0.0.1.
    """
    files = static_files(world.push)

    def answer(route: Route) -> None:
        kind, text = files[route.request.url.removeprefix(world.site)]
        route.fulfill(content_type=kind, body=text)

    page.route(lambda url: url.removeprefix(world.site) in files, answer)
    page.set_content(files[path][1])
