"""The demo page of ``sse-service dev`` in Chromium."""

import json
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import APIResponse, FilePayload, Locator, Page, Route, expect

from tests.e2e.conftest import TIMEOUT_MS, NewPage
from tests.integration.process import Process

expect.set_options(timeout=TIMEOUT_MS)


class Demo:
    """A running ``sse-service dev``."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.url = process.wait_for(r"(?m)^(http://127\.0\.0\.1:\d+/)$")[1]
        process.wait_for(r"(?m)^.*s3 cp.*$")

    def line(self, words: str) -> str:
        """Return the printed command that contains these words."""
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
    """Upload a file and return its row."""
    page.get_by_label("Choose files").set_input_files({"name": name, "mimeType": "text/plain", "buffer": content})
    return row(page, name)


def choose_all(page: Page, *names: str) -> None:
    """Upload several files at once."""
    files = [FilePayload(name=name, mimeType="text/plain", buffer=b"text") for name in names]
    page.get_by_label("Choose files").set_input_files(files)


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_text(name, exact=True)).and_(page.locator(".job"))


def test_an_upload_is_followed_to_its_end_by_pushed_events_only(demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, "ann")
    # By now the page has fetched the state, which it does only once.
    expect(page.locator("#empty")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url.removeprefix(demo.url)}"))
    # Record the progress that a user would see.
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
    # The table of costs is fetched once a second.
    others = [re.sub("[0-9a-f]{32}", "ID", line) for line in asked if not line.startswith("GET demo/traffic")]
    assert others == ["PUT demo/uploads/ID/report.txt"]
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
        expect(page.locator("#event-log")).not_to_contain_text(other)
        page.reload()
        expect(page.locator(".job")).to_have_count(1)


def test_an_event_that_comes_before_the_uploads_response_adds_no_second_row(demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, "ann-8")
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/demo/uploads/**", lambda route: held.append((route, route.fetch())))
    file = choose(page, "quick.txt")
    expect(file).to_have_attribute("data-state", "processing")
    route, response = held[0]
    route.fulfill(response=response)
    expect(file).to_have_attribute("data-state", "done")
    expect(page.locator(".job")).to_have_count(1)


def test_three_uploads_at_once_are_processed_side_by_side(demo: Demo, new_page: NewPage) -> None:
    page, names = sign_in(new_page(), demo, "ann-9"), ("first.slow", "second.txt", "third.txt")
    for name in names:
        # Upload the next file while the earlier ones are being processed.
        expect(choose(page, name)).to_have_attribute("data-state", "processing")
    for name in names:
        expect(row(page, name).locator(".state")).to_have_text(re.compile(r"(10|30|55|80) %"))
    expect(row(page, "first.slow")).to_have_attribute("data-state", "processing")
    for name in names:
        expect(row(page, name)).to_have_attribute("data-state", "done")


def test_files_that_wait_are_shown_at_once_in_every_window_and_after_a_reload(new_page: NewPage) -> None:
    # Not the shared demo: its workers are busy for longer than the other tests would wait.
    with Process("sse_service", "dev", "--port", "0") as process:
        demo = Demo(process)
        page = sign_in(new_page(), demo, "ann")
        second = new_page(beside=page)
        second.goto(demo.url)
        expect(second.locator("#status")).to_have_text("Live")
        # Eight files are processed in parallel, and eight more are ahead of those that must wait.
        choose_all(page, *(f"{number}.slow" for number in range(16)))
        expect(page.locator(".job[data-state=processing]")).to_have_count(8)
        expect(page.locator(".job[data-state=waiting]")).to_have_count(8)
        waiting = ("a.slow", "b.txt", "c.txt")
        choose_all(page, *waiting)
        for window in (page, second):
            for name in waiting:
                expect(row(window, name).locator(".state")).to_have_text("Waiting")
        page.reload()
        third = new_page(beside=page)
        third.goto(demo.url)
        for window in (page, second, third):
            for name in waiting:
                expect(row(window, name).locator(".state")).to_have_text("Waiting")
            expect(window.locator(".job")).to_have_count(16 + len(waiting))


def test_a_reload_during_processing_and_another_browser_show_the_current_state(demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, "ann-3")
    other = sign_in(new_page(), demo, "ann-3")
    expect(choose(page, "a.slow").locator(".state")).to_have_text(re.compile(r"(10|30) %"))
    for window in (page, other):
        window.reload()
        expect(row(window, "a.slow").locator(".state")).to_have_text(re.compile(r"(10|30|55|80) %"))
    for window in (page, other):
        expect(row(window, "a.slow")).to_have_attribute("data-state", "done")
        expect(window.locator(".job")).to_have_count(1)


def test_a_window_says_so_when_its_session_belongs_to_another_user(demo: Demo, new_page: NewPage) -> None:
    first = sign_in(new_page(), demo, "ann-5")
    expect(choose(first, "of-ann.txt")).to_have_attribute("data-state", "done")
    second = new_page(beside=first)
    second.goto(demo.url)
    expect(second.locator("#user")).to_have_text("ann-5")
    second.get_by_role("button", name="Sign out").click()
    expect(first.get_by_role("alert").filter(has_text="signed out")).to_be_visible()
    second.get_by_label("Your name").fill("bob-5")
    second.keyboard.press("Enter")
    expect(first.get_by_role("alert").filter(has_text="signed in as bob-5")).to_be_visible()
    expect(first.locator("#user")).to_have_text("bob-5")
    expect(first.locator("#status")).to_have_text("Live")
    expect(first.locator(".job")).to_have_count(0)


def test_a_window_that_reopens_its_stream_notices_another_user(demo: Demo, new_page: NewPage) -> None:
    first = sign_in(new_page(), demo, "ann-6")
    first.evaluate(
        """() => fetch("/demo/login", {
            method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user: "bob-6" }),
        })"""
    )
    first.evaluate("dispatchEvent(new StorageEvent('storage', { key: 'user', newValue: 'bob-6' }))")
    expect(first.get_by_role("alert").filter(has_text="signed in as bob-6")).to_be_visible()
    expect(first.locator("#user")).to_have_text("bob-6")


def test_the_page_works_by_keyboard_at_a_phones_width(demo: Demo, new_page: NewPage, tmp_path: Path) -> None:
    page = new_page(width=360)
    # Listen from the start. A listener added with the key press may be too late to catch the browser's dialog.
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
    page.keyboard.press("Tab")
    expect(page.get_by_label("SSE", exact=True)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("WebSocket", exact=True)).to_be_checked()
    expect(page.locator("#status")).to_have_text("Live")
    page.locator("summary", has_text="Events on the stream").press("Enter")
    expect(page.locator("#event-log")).to_be_visible()
    page.get_by_role("button", name="Sign out").press("Enter")
    expect(page.get_by_label("Your name")).to_be_focused()


def test_a_bad_name_is_explained(demo: Demo, new_page: NewPage) -> None:
    page = new_page()
    page.goto(demo.url)
    page.get_by_label("Your name").fill("a/b")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="no slash")).to_be_visible()


def test_the_printed_commands_work_when_pasted(demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, "demo")
    page.get_by_text("Events on the stream").click()
    subprocess.run(demo.line(" publish --user demo "), shell=True, check=True, cwd="/")
    expect(page.locator("#event-log li").filter(has_text='{"text":"Hello"}').filter(has_text="message")).to_have_count(
        1
    )
    # The request of the printed curl command.
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


def test_the_printed_address_of_the_operators_page_shows_this_task(demo: Demo, new_page: NewPage) -> None:
    lines = demo.process.output.splitlines()
    address = lines[next(number for number, line in enumerate(lines) if "operator's page" in line) + 1]
    page = new_page()
    page.goto(address)
    expect(page.locator("#status")).to_have_text("live")
    expect(page.get_by_role("img", name="Streams open")).to_be_visible()
    form = page.locator("form[action='/test']")
    for name, text in (("User", "demo"), ("Data", "hello")):
        form.get_by_label(name).fill(text)
    form.get_by_role("button", name="Send").click()
    notice = page.get_by_role("status").filter(has_text=re.compile(r"^Test event published: [0-9a-f-]+$"))
    expect(notice).to_be_visible()
    page.reload()
    expect(page.locator("#status")).to_have_text("live")
    expect(notice).to_have_count(0)


def test_a_file_put_into_the_bucket_without_the_page_is_shown(demo: Demo, new_page: NewPage) -> None:
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


WAYS = {"sse": "SSE", "websocket": "WebSocket", "long-polling": "Long polling", "polling": "Polling, 1 s"}


def cost(page: Page, way: str, name: str) -> Locator:
    return page.locator(f"#ways tr[data-way={way}] [data-name={name}]")


def listen(page: Page, way: str) -> None:
    """Choose the way by which the page gets its events."""
    ways = page.get_by_role("group", name="How this page gets its events")
    ways.get_by_label(WAYS[way], exact=True).check()
    expect(page.locator("#status")).to_have_text("Live")


def test_a_page_changes_the_way_it_listens_in_the_middle_of_a_job_and_misses_nothing(
    demo: Demo, new_page: NewPage
) -> None:
    page = sign_in(new_page(), demo, "changing")
    job = choose(page, "report.pdf.slow")
    for way in (*WAYS, "sse"):
        expect(job).to_have_attribute("data-state", "processing")
        listen(page, way)
    expect(job).to_have_attribute("data-state", "done")
    # Waiting, started, four steps, and done: each once.
    expect(page.locator("#event-count")).to_have_text("7")
    # The table is drawn after each answer.
    for _ in range(2):
        with page.expect_response("**/demo/traffic?*"):
            pass
    assert sum(int(cost(page, way, "events").inner_text()) for way in WAYS) == 7
    for way in WAYS:
        expect(cost(page, way, "requests")).not_to_have_text("0")


@pytest.mark.parametrize("way", WAYS)
def test_an_upload_is_followed_and_its_cost_is_shown_over(way: str, demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, f"over-{way}")
    listen(page, way)
    expect(choose(page, "report.pdf")).to_have_attribute("data-state", "done")
    expect(cost(page, way, "events")).to_have_text("7")
    for name in ("requests", "time", "sent", "received", "each"):
        expect(cost(page, way, name)).to_have_text(re.compile("[1-9]"))
    others = [each for each in WAYS if each not in (way, "sse")]
    for other in others:
        expect(cost(page, other, "requests")).to_have_text("0")


def test_a_page_compares_all_ways_with_the_same_upload(demo: Demo, new_page: NewPage) -> None:
    page = sign_in(new_page(), demo, "comparing")
    page.get_by_label("Compare all four at once").check()
    for way in WAYS:
        expect(cost(page, way, "requests")).not_to_have_text("0")
    job = choose(page, "report.pdf")
    expect(job).to_have_attribute("data-state", "done")
    for way in WAYS:
        expect(cost(page, way, "events")).to_have_text("7")
        expect(cost(page, way, "each")).to_contain_text("B")
        expect(cost(page, way, "behind")).to_contain_text("ms")
    # The page itself shows what its own way has brought, once.
    expect(page.locator("#event-count")).to_have_text("7")
    # The way that feeds the page becomes another. No way counts an event twice.
    listen(page, "polling")
    expect(choose(page, "second.pdf")).to_have_attribute("data-state", "done")
    for way in WAYS:
        expect(cost(page, way, "events")).to_have_text("14")
    expect(page.locator("#event-count")).to_have_text("14")
    page.get_by_role("button", name="Reset").click()
    for way in WAYS:
        expect(cost(page, way, "events")).to_have_text("0")


def test_a_reload_begins_all_costs_anew_so_that_no_byte_is_counted_without_its_event(
    demo: Demo, new_page: NewPage
) -> None:
    page = sign_in(new_page(), demo, "reloading")
    listen(page, "long-polling")
    expect(choose(page, "report.pdf")).to_have_attribute("data-state", "done")
    expect(cost(page, "long-polling", "events")).to_have_text("7")
    expect(cost(page, "long-polling", "requests")).not_to_have_text("0")
    page.reload()
    expect(cost(page, "sse", "requests")).to_have_text("1")
    expect(cost(page, "long-polling", "requests")).to_have_text("0")
    expect(cost(page, "long-polling", "events")).to_have_text("0")


@pytest.mark.parametrize(
    ("way", "path"),
    [
        ("sse", "/events?types=none"),
        ("websocket", "/ws?types=none"),
        ("long-polling", "/events/poll?wait=1"),
        ("polling", "/events/poll?wait=0"),
    ],
)
def test_the_counted_bytes_are_those_that_a_socket_has_sent_and_received_over(way: str, path: str, demo: Demo) -> None:
    address = urlsplit(demo.url)
    authorization = next(word for word in shlex.split(demo.line("curl ")) if word.startswith("Authorization:"))
    # The same answer twice over one connection where it is kept.
    requests = 2 if "polling" in way else 1
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    lines = [f"GET {path}&tally=wire HTTP/1.1", f"Host: {address.netloc}", authorization]
    head = "\r\n".join(lines) + "\r\n"
    if way == "websocket":
        head += upgrade + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    request = (head + "\r\n").encode()
    received = b""
    with socket.create_connection((address.hostname, address.port or 80), timeout=TIMEOUT_MS / 1000) as connection:
        for answers in range(1, requests + 1):
            connection.sendall(request)
            sign = b'"cursor"' if "polling" in way else b"stream.ready"
            while received.count(sign) < answers:
                received += connection.recv(65536)
        with urlopen(f"{demo.url}demo/traffic?tally=wire") as answer:
            counts = json.load(answer)[way]
        while len(received) < counts["received"]:
            received += connection.recv(65536)
    assert counts == {"requests": requests, "sent": len(request) * requests, "received": len(received)}
