"""Services that each break one guarantee, to test that the checker catches them.

``python -m tests.faults.broken_service KIND serve`` runs ``sse-service serve`` with that flaw.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from consumers.base import Outcome
from consumers.envelope import Envelope
from sse_service import cli
from sse_service.brokers.valkey import publisher
from sse_service.model.events import Route
from sse_service.protocols.polling import sink
from sse_service.protocols.websocket.sink import WebSocketSink
from sse_service.routing.ingest import Ingest
from sse_service.streams.frame import Frame
from sse_service.streams.hub import Hub


def no_catch_up() -> None:
    """Messages that pub/sub loses are not replayed."""
    Hub.lost = lambda self, channel: None  # type: ignore[method-assign]  # breaks it on purpose


def dedupe_per_process() -> None:
    """Each task recognises only duplicates of events that it stored itself."""
    shared = publisher.dedupe_key

    def own(route: Route) -> bytes:
        return shared(route) + str(os.getpid()).encode()

    publisher.dedupe_key = own


def ack_before_publish() -> None:
    """A message is deleted as soon as it was read, and stored a little later."""
    store = Ingest.__call__
    kept: set[asyncio.Future[object]] = set()

    async def answer(self: Ingest, envelopes: Sequence[Envelope]) -> list[Outcome]:
        async def later() -> None:
            # Long enough that each kill finds a message in between.
            await asyncio.sleep(2)
            await store(self, envelopes)

        work = asyncio.ensure_future(later())
        kept.add(work)
        work.add_done_callback(kept.discard)
        return [Outcome.DONE] * len(envelopes)

    Ingest.__call__ = answer  # type: ignore[method-assign]  # breaks it on purpose


def polls_forget() -> None:
    """An answer to a poll lacks its first event if it has several, and its cursor runs on."""
    encode = sink.encode_answer

    def shorter(events: Sequence[bytes], **rest: Any) -> bytes:
        return encode(events[1:] if len(events) > 1 else events, **rest)

    sink.encode_answer = shorter


def sockets_repeat() -> None:
    """A socket gets each of its events twice."""
    write = WebSocketSink.write

    def twice(self: WebSocketSink, frame: Frame) -> bool:
        write(self, frame)
        return write(self, frame)

    WebSocketSink.write = twice  # type: ignore[method-assign]  # breaks it on purpose


KINDS: dict[str, Callable[[], None]] = {
    "no-catch-up": no_catch_up,
    "dedupe-per-process": dedupe_per_process,
    "ack-before-publish": ack_before_publish,
    "polls-forget": polls_forget,
    "sockets-repeat": sockets_repeat,
}

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
    sys.exit(cli.main(sys.argv[2:]))
