"""The demo as a user meets it: ``sse-service dev``, and Chromium."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import APIResponse, Locator, Page, Route, expect

from tests.e2e.conftest import TIMEOUT_MS, NewPage
from tests.integration.process import Process

expect.set_options(timeout=TIMEOUT_MS)


class Demo:
    """A running demo, and what it printed."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.url = process.wait_for(r"(?m)^(http://127\.0\.0\.1:\d+/)$")[1]
        process.wait_for(r"(?m)^.*s3 cp.*$")

    def line(self, words: str) -> str:
        """The printed line that has these words."""
        return next(line for line in self.process.output.splitlines() if words in line and not line.startswith("#"))


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with Process("sse_service", "dev", "--port", "0") as process:
        yield Demo(process)


def sign_in(page: Page, demo: Demo, user: str) -> Page:
    page.goto(demo.url)
    page.get_by_label("Your name").fill(user)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#status")).to_have_text("Live")
    return page


def choose(page: Page, name: str, content: bytes = b"text") -> Locator:
    """Upload a file, and give its row."""
    page.get_by_label("Choose files").set_input_files({"name": name, "mimeType": "text/plain", "buffer": content})
    return row(page, name)


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_text(name, exact=True)).and_(page.locator(".job"))


def test_an_upload_is_followed_to_its_end_by_pushed_events_alone(demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, "ann")
    # The recipe's one fetch of the state is over.
    expect(page.locator("#empty")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url.removeprefix(demo.url)}"))
    # Watches what a user would see.
    page.evaluate(
        """() => {
            const seen = (window.seen = []);
            new MutationObserver(() => {
                const bar = document.querySelector("#jobs .job[data-job] progress");
                if (bar) seen.push(bar.value);
            }).observe(document.querySelector("#jobs"), { subtree: true, attributes: true, childList: true });
        }"""
    )
    uploaded = choose(page, "report.txt")
    expect(uploaded).to_have_attribute("data-state", "processing")
    expect(uploaded).to_have_attribute("data-state", "done")
    expect(uploaded).to_contain_text("4 bytes, SHA-256 ")
    assert asked == ["PUT demo/uploads/report.txt"]
    seen = page.evaluate("window.seen")
    assert seen == sorted(seen)
    assert {10, 30, 55, 80, 100} <= set(seen)


def test_a_file_that_cannot_be_processed_says_why(demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, "ann-fails")
    failing = choose(page, "empty.txt", b"")
    expect(failing).to_have_attribute("data-state", "failed")
    expect(failing).to_contain_text("The file is empty")


def test_two_users_never_see_each_others_files(demo: Demo, new_page: NewPage) -> None:
    ann, bob = sign_in(new_page(), demo, "ann-2"), sign_in(new_page(), demo, "bob-2")
    of_ann, of_bob = choose(ann, "of-ann.txt"), choose(bob, "of-bob.txt")
    for done in (of_ann, of_bob):
        expect(done).to_have_attribute("data-state", "done")
    for page, other in ((ann, "of-bob.txt"), (bob, "of-ann.txt")):
        expect(page.locator(".job")).to_have_count(1)
        expect(page.locator("#wire")).not_to_contain_text(other)
        page.reload()
        expect(page.locator(".job")).to_have_count(1)


def test_an_event_that_is_quicker_than_the_uploads_answer_makes_no_second_row(demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, "ann-8")
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/demo/uploads/*", lambda route: held.append((route, route.fetch())))
    file = choose(page, "quick.txt")
    expect(file).to_have_attribute("data-state", "processing")
    route, response = held[0]
    route.fulfill(response=response)
    expect(file).to_have_attribute("data-state", "done")
    expect(page.locator(".job")).to_have_count(1)


def test_a_reload_in_the_middle_and_another_browser_show_the_true_state(demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, "ann-3")
    other = sign_in(new_page(), demo, "ann-3")
    expect(choose(page, "a.slow").locator(".state")).to_have_text(re.compile(r"(10|30) %"))
    for window in (page, other):
        window.reload()
        expect(row(window, "a.slow").locator(".state")).to_have_text(re.compile(r"(10|30|55|80) %"))
    for window in (page, other):
        expect(row(window, "a.slow")).to_have_attribute("data-state", "done")
        expect(window.locator(".job")).to_have_count(1)


def test_a_window_whose_session_became_another_users_says_so_and_starts_anew(demo: Demo, new_page: NewPage) -> None:
    first = sign_in(new_page(), demo, "ann-5")
    expect(choose(first, "of-ann.txt")).to_have_attribute("data-state", "done")
    second = new_page(beside=first)
    second.goto(demo.url)
    expect(second.locator("#user")).to_have_text("ann-5")
    second.get_by_role("button", name="Sign out").click()
    expect(first.get_by_role("alert").filter(has_text="signed out")).to_be_visible()
    second.get_by_label("Your name").fill("bob-5")
    second.keyboard.press("Enter")
    expect(first.get_by_role("alert").filter(has_text="now signed in as bob-5")).to_be_visible()
    expect(first.locator("#user")).to_have_text("bob-5")
    expect(first.locator("#status")).to_have_text("Live")
    expect(first.locator(".job")).to_have_count(0)


def test_a_window_whose_stream_opens_again_learns_of_the_other_user(demo: Demo, new_page: NewPage) -> None:
    first = sign_in(new_page(), demo, "ann-6")
    first.evaluate(
        """() => fetch("/demo/login", {
            method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user: "bob-6" }),
        })"""
    )
    first.evaluate("dispatchEvent(new StorageEvent('storage', { key: 'user', newValue: 'bob-6' }))")
    expect(first.get_by_role("alert").filter(has_text="now signed in as bob-6")).to_be_visible()
    expect(first.locator("#user")).to_have_text("bob-6")


def test_it_is_operable_by_keyboard_on_a_phones_width(demo: Demo, new_page: NewPage, tmp_path: Path) -> None:
    page = new_page(width=360)
    # A listener from the start: one that comes with the key may be too late to catch the browser's own dialog.
    page.on("filechooser", lambda _: None)
    page.goto(demo.url)
    page.keyboard.type("ann-7")
    page.keyboard.press("Enter")
    expect(page.locator("#files")).to_be_focused()
    name = "a-very-long-name-" * 10 + ".txt"
    (tmp_path / name).write_text("text")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(tmp_path / name)
    expect(row(page, name)).to_have_attribute("data-state", "done")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#wire")).to_be_visible()
    page.get_by_role("button", name="Sign out").press("Enter")
    expect(page.get_by_label("Your name")).to_be_focused()


def test_a_bad_name_is_explained(demo: Demo, new_page: NewPage) -> None:
    page = new_page()
    page.goto(demo.url)
    page.get_by_label("Your name").fill("a/b")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="no slash")).to_be_visible()


def test_the_printed_lines_work_when_pasted(demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, "demo")
    page.get_by_text("What the stream says").click()
    subprocess.run(demo.line(" publish --user demo "), shell=True, check=True, cwd="/")
    expect(page.locator("#wire li").filter(has_text='{"text":"Hello"}').filter(has_text="message")).to_have_count(1)
    # What the printed curl line asks for.
    words = shlex.split(demo.line("curl "))
    headers = dict([words[words.index("-H") + 1].split(": ", 1)])
    heard = page.evaluate(
        """async ([url, headers]) => {
            const reader = (await fetch(url, { headers, credentials: "omit" })).body.getReader();
            let text = "";
            while (!text.includes("Hello")) text += new TextDecoder().decode((await reader.read()).value);
            await reader.cancel();
            return text;
        }""",
        [words[-1], headers],
    )
    assert 'data: {"text":"Hello"}\n' in heard
    assert json.loads(heard.split("data: ")[1].splitlines()[0])["user"] == "demo"


def test_a_file_put_into_the_bucket_behind_the_pages_back_is_shown(demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, "demo")
    line = demo.line("s3 cp")
    endpoint = re.findall(r"--endpoint-url (\S+)", line)[0]
    bucket = re.findall(r"s3://([^/]+)/", line)[0]
    script = (
        "import boto3, sys; boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', "
        "aws_access_key_id='test', aws_secret_access_key='test')"
        ".put_object(Bucket=sys.argv[2], Key='users/demo/behind.txt', Body=b'hello')"
    )
    subprocess.run([sys.executable, "-c", script, endpoint, bucket], check=True)
    expect(row(page, "behind.txt")).to_have_attribute("data-state", "done")
