"""Counts what each way to listen costs: requests, and the bytes of their connections, heads included."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams

from sse_service.http.uvicorn.protocol import HTTPProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

MAX_TALLIES = 1000
"""Beyond this number, the oldest tally is forgotten."""

TALLY = "tally"
"""The query parameter that names the tally of a request. The page chooses a random name for its browser."""


class Counts:
    """What one way has cost in one tally. The numbers only grow: the page takes differences."""

    __slots__ = ("received", "requests", "sent")

    def __init__(self) -> None:
        self.requests = 0
        self.sent = 0
        """Bytes from the browser to the service."""
        self.received = 0
        """Bytes from the service to the browser."""

    def as_json(self) -> dict[str, int]:
        """Return the counts as the page gets them."""
        return {"requests": self.requests, "sent": self.sent, "received": self.received}


class Traffic:
    """Counts by tally and way. A way has the name of the client's transport."""

    def __init__(self) -> None:
        self._tallies: OrderedDict[str, dict[str, Counts]] = OrderedDict()

    def of(self, tally: str) -> Mapping[str, Counts]:
        """Return the counts of a tally by way."""
        return self._tallies.get(tally, {})

    def counts(self, path: str, query: QueryParams) -> Counts | None:
        """Return the counts of a request; None if it is not to be counted."""
        ways = {"/events": "sse", "/ws": "websocket", "/events/poll": "polling"}
        tally, way = query.get(TALLY), ways.get(path)
        if not tally or way is None:
            return None
        if way == "polling" and query.get("wait", "0") != "0":
            way = "long-polling"
        if tally not in self._tallies and len(self._tallies) >= MAX_TALLIES:
            self._tallies.popitem(last=False)
        return self._tallies.setdefault(tally, {}).setdefault(way, Counts())


class CountedTransport:
    """A transport that counts what is written to it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.counts: Counts | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Count, and pass on."""
        if self.counts is not None:
            self.counts.received += len(data)
        self._transport.write(data)


class CountedProtocol(HTTPProtocol):
    """The service's protocol class, with counts. Only the demo uses it: a service of thousands must not pay for it."""

    def __init__(self, *args: Any, traffic: Traffic, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._traffic = traffic
        self._arrived = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Wrap the transport."""
        self._counted = CountedTransport(transport)
        super().connection_made(self._counted)  # type: ignore[arg-type]  # it does all that a transport does

    def data_received(self, data: bytes) -> None:
        """Count bytes for the request that they belong to. It is known when its headers are complete."""
        self._arrived += len(data)
        super().data_received(data)
        if self._counted.counts is not None:
            self._counted.counts.sent += self._arrived
        self._arrived = 0

    def on_headers_complete(self) -> None:
        """Find out for what this request is counted."""
        super().on_headers_complete()
        query = QueryParams(self.scope["query_string"])
        counts = self._counted.counts = self._traffic.counts(self.scope["path"], query)
        if counts is not None:
            counts.requests += 1
