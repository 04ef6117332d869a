"""Runs a back end that says who sent a request, and makes requests for which it is asked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.integration.chain import Chain
from tests.integration.process import DEADLINE, Process

EVENT_STREAM = {"Accept": "text/event-stream"}


@contextmanager
def backend_process(port: int = 0) -> Iterator[tuple[Process, str]]:
    with Process("tests.integration.authorizer_backend", "--port", str(port)) as process:
        yield process, process.wait_for(r"(http://127\.0\.0\.1:\d+)")[1]


def seen(backend: str, credential: str) -> list[dict[str, Any]]:
    """Return the requests that the back end got with this text in a header."""
    requests: list[dict[str, Any]] = httpx.get(
        f"{backend}/seen", params={"text": credential}, trust_env=False, timeout=DEADLINE
    ).json()
    return requests


def wait_until_seen(backend: str, credential: str, count: int = 1) -> None:
    until = time.monotonic() + DEADLINE
    while len(seen(backend, credential)) < count:
        assert time.monotonic() < until


def by_cookie(who: str, **headers: str) -> dict[str, str]:
    return {"Cookie": f"as={who}", **headers}


def opened(chain: Chain, headers: Any) -> int:
    """Request a stream with these headers, and return the status."""
    with chain.client.stream("GET", f"{chain.url}/events", headers=headers) as response:
        return response.status_code


def refused(chain: Chain, headers: Any, status: int) -> httpx.Response:
    """Request a stream that must be refused. One that is admitted would never end, so it is not read."""
    with chain.client.stream("GET", f"{chain.url}/events", headers=headers) as response:
        assert response.status_code == status
        response.read()
        return response


def is_told_to_come_back(chain: Chain, headers: dict[str, str]) -> bool:
    """Whether an EventSource gets a stream that ends at once, and any other client a 503."""
    with chain.client.stream("GET", f"{chain.url}/events", headers={**headers, **EVENT_STREAM}) as response:
        assert response.status_code == 200
        assert '"reason":"limit","reconnect":true' in next(response.iter_text())
    return "retry-after" in refused(chain, headers, 503).headers
