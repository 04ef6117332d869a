"""Signing a user out from the operator's page, as the user's browser sees it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import TIMEOUT_MS, NewPage
from tests.e2e.test_demo import Demo, sign_in
from tests.integration.process import Process

expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with Process("sse_service", "dev", "--port", "0") as process:
        yield Demo(process)


def sign_out(operator: Page, demo: Demo, user: str) -> None:
    """Use the form on the operator's page."""
    lines = demo.process.output.splitlines()
    operator.goto(lines[next(number for number, line in enumerate(lines) if "operator's page" in line) + 1])
    form = operator.locator("form[action='/sign-out']")
    form.get_by_label("User").fill(user)
    form.get_by_role("button", name="Sign out").click()
    notice = operator.get_by_role("status").filter(
        has_text=f"Tokens of {user} issued up to now are refused. Streams ended in this task: 1."
    )
    expect(notice).to_be_visible()


def test_a_page_whose_user_is_still_signed_in_at_the_back_end_goes_on_with_a_new_token(
    demo: Demo, new_page: NewPage
) -> None:
    page = sign_in(new_page(), demo, "ann")
    with page.expect_response(lambda answer: answer.url.endswith("/session") and answer.status == 204):
        sign_out(new_page(width=390), demo, "ann")
    expect(page.locator("#status")).to_have_text("Live")


def test_a_page_whose_user_is_signed_out_at_the_back_end_too_stops(demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, "bob")
    page.context.clear_cookies(name="demo_session")
    sign_out(new_page(), demo, "bob")
    expect(page.get_by_role("alert").filter(has_text="signed out")).to_be_visible()
    expect(page.get_by_label("Your name")).to_be_visible()


def test_signing_out_on_the_page_ends_the_streams_of_its_session(demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, "cat")
    other = new_page(beside=page)
    other.goto(f"{demo.url}healthz")
    other.evaluate(
        """() => {
            const source = new EventSource("/events");
            window.farewell = new Promise((said) => source.addEventListener("stream.close", ({ data }) => said(data)));
            return new Promise((ready) => source.addEventListener("stream.ready", () => ready()));
        }"""
    )
    page.get_by_role("button", name="Sign out").click()
    assert other.evaluate("farewell") == '{"reason":"revoked","reconnect":false}'
