"""A parser of event streams, written from WHATWG HTML §9.2.6 and independent of the encoder."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Message(NamedTuple):
    """A dispatched event."""

    type: str
    data: str
    id: str
    """The last event id when it was dispatched."""


@dataclass
class Parsed:
    """The events that a browser would dispatch, and its state after the stream."""

    events: list[Message] = field(default_factory=list)
    last_id: str = ""
    retry: int | None = None


def parse(stream: bytes) -> Parsed:
    """Parse a whole stream."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    parsed, kind, data, pending = Parsed(), "", "", ""
    for line in text.split("\n")[:-1]:
        if line == "":
            parsed.last_id = pending
            if data:
                parsed.events.append(Message(kind or "message", data.removesuffix("\n"), pending))
            kind, data = "", ""
            continue
        if line.startswith(":"):
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            pending = value
        elif name == "retry" and value.isascii() and value.isdigit():
            parsed.retry = int(value)
    return parsed
