"""Takes the README's screenshots of the demo page, in light and dark, while three uploads are in progress.

    python -m tests.pictures.demo

needs Chromium, as the browser tests do. The result goes to ``.github/pictures/``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from playwright.sync_api import FilePayload, FloatRect, Page, sync_playwright

from tests.e2e.conftest import launch
from tests.integration.process import Process

PICTURES = Path(__file__).parents[2] / ".github" / "pictures"

WIDTH, HEIGHT = 880, 1400
SCALE = 1.5
"""Pixels of the picture for each pixel of the page: sharp on a screen of high density."""

MAX_HEIGHT = 1200
"""Pixels of the page that the picture shows at most."""

WAITING_MS = 45_000
"""Milliseconds without an event before the uploads. Pages wait most of the time, and that is what polling pays for."""

FILES = (("holiday-video.mp4", 1_240_000), ("contract.pdf", 182_000), ("team-photo.jpg", 310_000))
"""Names and sizes, in order of uploading. The newest stands at the top of the page."""

PATIENCE_MS = 30_000
"""Milliseconds that anything may take on a busy machine."""

USERS = ("ada", "grace", "barbara", "edith")
"""One for each attempt: a busy machine may be done with a file before the next one is uploaded."""

REACHED = """([name, least]) => [...document.querySelectorAll("#jobs .job")].some((row) => {
    const bar = row.querySelector("progress");
    return row.textContent.includes(name) && (bar.value >= least || row.dataset.state === "done");
})"""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
IN_PROGRESS = "#jobs .job[data-state=processing]"


def upload(page: Page, url: str, user: str) -> None:
    """Sign in and upload one file after another, so that each is at another step when the picture is taken."""
    page.goto(url)
    page.get_by_label("Your name").fill(user)
    page.get_by_role("button", name="Sign in").click()
    page.locator("#status", has_text="Live").wait_for()
    page.get_by_label("Compare all four at once").check()
    page.wait_for_timeout(WAITING_MS)
    for (name, size), least in zip(FILES, (80, 30, 10), strict=True):
        file = FilePayload(name=name, mimeType="application/octet-stream", buffer=bytes(size))
        page.get_by_label("Choose files").set_input_files(file)
        page.wait_for_function(REACHED, arg=[name, least])


def crop(page: Page) -> FloatRect:
    """The page from its top to the end of the table that compares the ways to listen."""
    table = page.locator(".ways-table").bounding_box()
    bottom = table["y"] + table["height"] if table else MAX_HEIGHT
    return {"x": 0, "y": 0, "width": WIDTH, "height": min(bottom + 16, MAX_HEIGHT)}


def main() -> None:
    """Take both pictures in the same moment."""
    PICTURES.mkdir(exist_ok=True)
    with Process("sse_service", "dev", "--port", "0") as demo, sync_playwright() as playwright:
        url = demo.wait_for(r"(?m)^(http://127\.0\.0\.1:\d+/)$")[1]
        browser = launch(playwright)
        for user in USERS:
            context = browser.new_context(
                viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE, color_scheme="light"
            )
            context.set_default_timeout(PATIENCE_MS)
            page = context.new_page()
            upload(page, url, user)
            pictures = [(scheme, taken(page, scheme)) for scheme in SCHEMES]
            if page.locator(IN_PROGRESS).count() > 1:
                break
            context.close()
        else:
            raise SystemExit("the machine is too busy: two files were never in progress at once")
        browser.close()
    for scheme, picture in pictures:
        path = PICTURES / f"demo-{scheme}.png"
        path.write_bytes(picture)
        print(f"{path}: {len(picture):,} bytes")


def taken(page: Page, scheme: Literal["light", "dark"]) -> bytes:
    """Take the picture in one of the two colour schemes."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    return page.screenshot(clip=crop(page), animations="disabled")


if __name__ == "__main__":
    main()
