"""The operator's page in a real browser while events flow."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from tests.e2e.conftest import TIMEOUT_MS, NewPage
from tests.integration.chain import queue_stub, service, sns_envelope

expect.set_options(timeout=TIMEOUT_MS)


def test_the_plots_change_while_events_flow(new_page: NewPage) -> None:
    with queue_stub() as queue, service(queue) as running, running.stream("watched") as stream:
        page = new_page(width=390)
        refused: list[str] = []
        page.on("console", lambda said: refused.append(said.text) if said.type in ("error", "warning") else None)
        page.goto(f"{running.admin}/")
        expect(page.locator("#status")).to_have_text("live")
        events, delay = plot(page.locator("#overview"), "Events"), plot(page.locator("#overview"), "Delay")
        expect(events).to_have_accessible_name(re.compile(r"highest 0\.0\."))
        expect(delay).to_have_accessible_name(re.compile("nothing measured yet"))
        before = events.locator("path").get_attribute("d")
        for number in range(20):
            running.put(sns_envelope(str(number), user="watched"))
        stream.wait_for("19")
        expect(events).to_have_accessible_name(re.compile(r"highest [1-9]\d*\.\d\."))
        expect(delay).to_have_accessible_name(re.compile(r"median ≤ .+, p99 ≤ .+; lowest ≤"))
        assert events.locator("path").get_attribute("d") != before
        # Nothing was refused by the page's content security policy, and nothing is wider than a phone.
        assert refused == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def plot(overview: Locator, title: str) -> Locator:
    return overview.get_by_role("img", name=title)
