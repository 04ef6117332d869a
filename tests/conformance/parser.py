"""An event-stream parser written from WHATWG HTML §9.2.6, independent of the encoder."""

from dataclasses import dataclass, field


@dataclass
class Parsed:
    """What a browser would have dispatched, and what it remembers."""

    events: list[tuple[str, str, str]] = field(default_factory=list)
    """Type, data and last event id of each dispatch."""
    last_id: str = ""
    retry: int | None = None


def parse(stream: bytes) -> Parsed:
    """Interpret a whole stream."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    parsed, kind, data, pending = Parsed(), "", "", ""
    for line in text.split("\n")[:-1]:
        if line == "":
            parsed.last_id = pending
            if data:
                parsed.events.append((kind or "message", data.removesuffix("\n"), pending))
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
