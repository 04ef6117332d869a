"""The examples of pages work: each shows the current state."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import pytest

from sse_service.client.files import CLIENT
from tests.deploy.examples.files import EXAMPLES
from tests.e2e.conftest import NewPage, browser, new_page  # noqa: F401  fixtures
from tests.e2e.test_recipe import Service, block, ready

PLAIN = """<!doctype html><link rel="icon" href="data:,"><ul id="jobs"></ul>
<script type="module" src="/page.js"></script>"""
WITH_REACT = """<!doctype html><link rel="icon" href="data:,"><ul id="jobs"></ul>
<script type="importmap">{"imports": {"react": "/react.js"}}</script><script type="module" src="/app.js"></script>"""
REACT = """
// The parts of React that a hook uses: state, renders and effects. As in strict mode, a mounted component is at once
// unmounted and mounted again.
const cells = [];
let component, at = 0, due = false;
export function useState(initial) {
  const cell = (cells[at++] ??= { value: initial });
  cell.set ??= (next) => {
    cell.value = typeof next === "function" ? next(cell.value) : next;
    if (!due) queueMicrotask(render);
    due = true;
  };
  return [cell.value, cell.set];
}
export function useEffect(run, needs) {
  const cell = (cells[at++] ??= {});
  cell.changed = !cell.needs?.every((need, i) => Object.is(need, needs[i]));
  Object.assign(cell, { run, needs });
}
function undo(cell) { cell.undo?.(); cell.undo = null; }
function redo(cell) { undo(cell); cell.undo = cell.run(); cell.changed = false; }
function render() {
  [at, due] = [0, false];
  component();
  cells.filter((cell) => cell.changed).forEach(redo);
}
window.unmount = () => cells.forEach(undo);
export function mount(given) {
  component = given;
  render();
  cells.filter((cell) => cell.run).forEach(redo);
}
"""
APP = """
import { mount } from "react";
import { changed, fetchJobs, session, TYPES } from "/jobs.js";
import { usePush } from "/usePush.js";
const options = { types: TYPES, session, load: fetchJobs, apply: changed, userChanged: () => location.reload() };
mount(() => {
  const { state, status } = usePush({ ...options }); // new in each render, as callers may do
  document.title = status;
  const items = Object.values(state ?? {}).map(({ job, state }) => `<li>${job}: ${state}</li>`);
  document.querySelector("#jobs").innerHTML = items.join("");
});
"""


def job(number: str, step: int, state: str) -> dict[str, Any]:
    return {"job": number, "step": step, "state": state}


def step(number: str, step: int, state: str) -> str:
    return block(f"job.{state}", job(number, step, state), id=f"e.{number}{step}.{number}{step}")


def page_of(html: str, new_page: NewPage) -> Service:  # noqa: F811  the fixture
    """Return a page of the examples with a scripted service. It is not opened yet."""
    service = Service(new_page())
    files = {"/react.js": REACT, "/app.js": APP, "/client.js": CLIENT.read_text()}
    files |= {f"/{path.name}": path.read_text() for path in EXAMPLES.glob("*.js")}
    minted = json.dumps({"token": "t", "user": "ann", "expires_in": 900})
    files |= {"/": html, "/my/token": minted, "/session": ""}
    service.answers |= {path: deque([(200, body)]) for path, body in files.items()}
    return service


@pytest.fixture(params=[PLAIN, WITH_REACT], ids=["plain", "react"])
def page(request: pytest.FixtureRequest, new_page: NewPage) -> Service:  # noqa: F811  the fixture
    return page_of(request.param, new_page)


def shows(page: Service, *lines: str) -> None:
    """Wait until the page lists these jobs."""
    page.page.wait_for_function(
        "lines => JSON.stringify([...document.querySelectorAll('#jobs li')].map((item) => item.textContent)) === lines",
        arg=json.dumps(lines, separators=(",", ":")),
    )


def test_a_page_shows_the_state_and_then_pushed_events(page: Service) -> None:
    page.start(
        **{"my/jobs": [(200, json.dumps([job("7", 1, "working")]))]},
        events=[(200, ready() + step("7", 2, "done") + step("8", 1, "working"))],
    )
    shows(page, "7: done", "8: working")
    assert page.count("/session") == page.count("/my/token") > 0


def test_a_page_applies_events_in_any_order_and_more_than_once(page: Service) -> None:
    events = step("7", 2, "done") * 2 + step("8", 1, "working") + step("7", 1, "working")
    page.start(**{"my/jobs": [(200, "[]")]}, events=[(200, ready() + events)])
    shows(page, "7: done", "8: working")


def test_a_page_fetches_the_state_again_on_a_gap(page: Service) -> None:
    gap = step("7", 1, "working") + block("stream.gap", {"reason": "expired"}, id="e.9.0")
    done = json.dumps([job("7", 2, "done")])
    page.start(
        **{"my/jobs": [(200, "[]"), (200, done)]},
        events=[(200, ready(retry=500)), (200, ready(resumed=True) + gap)],
    )
    shows(page, "7: done")
    assert page.count("/my/jobs") == 2


def test_a_page_that_resumes_keeps_what_it_shows(page: Service) -> None:
    page.start(
        **{"my/jobs": [(200, json.dumps([job("7", 1, "working")]))]},
        events=[(200, ready(retry=200)), (200, ready(resumed=True) + step("7", 2, "done"))],
    )
    shows(page, "7: done")
    assert page.count("/my/jobs") == 1


def test_an_unmounted_component_closes_its_stream(new_page: NewPage) -> None:  # noqa: F811  the fixture
    page = page_of(WITH_REACT, new_page)
    page.page.clock.install()
    page.start(**{"my/jobs": [(200, json.dumps([job("7", 2, "done")]))]})
    shows(page, "7: done")
    page.page.evaluate("unmount()")
    asked = len(page.asked)
    page.page.clock.run_for(3_600_000)
    assert len(page.asked) == asked
