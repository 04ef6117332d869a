"""One tab with the page of the tests, and what its client has told it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Error, Page

WAIT_MS = 60_000


class Tab:
    """A tab of one browser profile."""

    def __init__(self, page: Page, origin: str, user: str) -> None:
        self.page = page
        self.user = user
        self.origin = origin

    def open(self, **options: Any) -> Tab:
        self.page.goto(f"{self.origin}/?options={quote(json.dumps(options))}")
        return self

    def settled(self) -> Tab:
        """Wait until the first connection is live, and the state is fetched."""
        self.becomes("live")
        self.notes("load")
        return self

    def noted(self, kind: str) -> list[Any]:
        said: list[Any] = self.page.evaluate("kind => noted.filter(([k]) => k === kind).map(([, said]) => said)", kind)
        return said

    @property
    def status(self) -> str:
        status: str = self.page.evaluate("push.status")
        return status

    def becomes(self, status: str) -> Tab:
        self.wait_for("status => window.push?.status === status", status)
        return self

    def notes(self, kind: str, count: int = 1) -> None:
        """Wait until so many things of this kind are noted."""
        self.wait_for("([kind, count]) => noted.filter(([k]) => k === kind).length >= count", [kind, count])

    def applied(self, *data: str) -> None:
        """Wait until the last of these events is shown, and assert that each was shown once, in this order."""
        self.wait_for("last => noted.some(([k, said]) => k === 'apply' && said === last)", data[-1])
        for kind in ("apply", "event"):
            noted = self.noted(kind)
            assert noted == list(data), f"{noted}, not {data}"

    def wait_for(self, condition: str, argument: Any) -> None:
        try:
            self.page.wait_for_function(condition, arg=argument, timeout=WAIT_MS)
        except Error as error:
            raise AssertionError(f"{argument} did not come: {self.page.evaluate('window.noted')}") from error

    def freeze(self) -> None:
        """Let the page run no code any more, until the site thaws it: it sends a synchronous request."""
        self.page.evaluate(
            """() => void setTimeout(() => {
              const request = new XMLHttpRequest();
              request.open("GET", "/hold", false);
              request.send();
            })"""
        )
