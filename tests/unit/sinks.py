"""A Sink that records what is written to it, and holds back after a set number of writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.protocols.sse.encoding import HEARTBEAT, encode, encode_service_event, unchunk
from sse_service.streams.sink import Progress
from tests.conformance.parser import Message, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.model.reasons import CloseReason
    from sse_service.streams.frame import Frame
    from sse_service.streams.service_events import ServiceEvent


class MemorySink:
    """Stands for the connection of one client."""

    def __init__(self) -> None:
        self.on_writable: Callable[[], None] | None = None
        self.written = b""
        self.writes = 0
        self.room = 1_000_000
        """How many writes it accepts before it holds back."""
        self.state = Progress(0, pending=False)
        self.ended = self.aborted = False

    def write(self, frame: Frame) -> bool:
        return self._take(unchunk(encode(frame)))

    def write_service_event(self, event: ServiceEvent) -> bool:
        return self._take(unchunk(encode_service_event(event)))

    def heartbeat(self) -> bool:
        return self._take(HEARTBEAT)

    def size(self, frame: Frame) -> int:
        return len(encode(frame))

    def progress(self) -> Progress:
        return self.state

    def end(self, _: CloseReason) -> None:
        self.ended = True

    def abort(self) -> None:
        self.aborted = True

    def make_room(self, writes: int = 1_000_000) -> None:
        self.room = writes
        assert self.on_writable is not None
        self.on_writable()

    @property
    def messages(self) -> list[Message]:
        """The events that an EventSource would dispatch."""
        return parse(self.written).events

    @property
    def data(self) -> list[str]:
        """The data of all events except service events."""
        return [m.data for m in self.messages if not m.type.startswith("stream.")]

    @property
    def types(self) -> list[str]:
        return [m.type for m in self.messages]

    def _take(self, block: bytes) -> bool:
        self.written += block
        self.writes += 1
        self.room -= 1
        return self.room > 0
