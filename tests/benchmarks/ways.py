"""The ways to listen that are compared, and what a browser sends for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

COOKIE = "sse_session"

# What Chromium 156 sent to a server on 127.0.0.1, in its order. "Headless" is taken out.
_AGENT = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
)
_FRESH = ("Pragma: no-cache", "Cache-Control: no-cache")
_BRAND = ('sec-ch-ua: "Not:A-Brand";v="8", "Chromium";v="156"', "sec-ch-ua-mobile: ?0")
_SAME_ORIGIN = ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty")
_ACCEPTED = ("Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: en-US,en;q=0.9")
_PLATFORM = 'sec-ch-ua-platform: "Linux"'
_KEEP = "Connection: keep-alive"
_REFERER = "Referer: http://{host}/"

HEADS: dict[str, tuple[str, ...]] = {
    "sse": (
        *(_KEEP, *_FRESH, _PLATFORM, _AGENT, "Accept: text/event-stream", *_BRAND, *_SAME_ORIGIN),
        *(_REFERER, *_ACCEPTED),
    ),
    "polling": (
        *(_KEEP, *_FRESH, _PLATFORM, _AGENT, *_BRAND, "Accept: */*", *_SAME_ORIGIN),
        *(_REFERER, *_ACCEPTED),
    ),
    "websocket": (
        *("Connection: Upgrade", *_FRESH, _AGENT, "Upgrade: websocket", "Origin: http://{host}"),
        *("Sec-WebSocket-Version: 13", *_ACCEPTED),
        *(
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
            "Sec-WebSocket-Protocol: sse-service.v1",
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to listen, and how long it is measured."""

    name: str
    kind: str
    """How ``listeners.c`` calls it."""
    target: str
    interval: float = 0
    """Seconds between two polls; 0 is at once."""
    wait: int = 0
    """Seconds that the answer to a poll may wait."""
    idle: float = 30
    """Seconds without events."""
    warm: float = 1
    """Seconds with events, until as many arrive as are sent."""
    window: float = 40
    """Seconds in which requests, bytes and CPU are counted. A multiple of the time between two broadcasts."""

    @property
    def polls(self) -> bool:
        """Whether it asks again and again."""
        return self.kind == "polling"

    @property
    def patience(self) -> float:
        """Seconds after which an event that has not come is lost."""
        return self.interval + 30

    def lines(self, port: int, tokens: Sequence[str]) -> list[str]:
        """The file for ``listeners.c``."""
        host = f"127.0.0.1:{port}"
        fields = [field.format(host=host) for field in HEADS[self.kind]]
        return [self.kind, self.target, f"Host: {host}", *fields, "", *(f"{COOKIE}={token}" for token in tokens)]

    def small(self) -> Way:
        """The same in seconds, for faults and not for figures."""
        return replace(self, interval=self.interval / 40, wait=min(self.wait, 1), idle=0.5, warm=0.5, window=2)


WAYS = (
    Way(name="polling every 60 s", kind="polling", target="/events/poll", interval=60, warm=60, window=60),
    Way(name="polling every 10 s", kind="polling", target="/events/poll", interval=10, warm=10, idle=20),
    Way(name="polling every second", kind="polling", target="/events/poll", interval=1, warm=2, idle=15),
    Way(name="long polling", kind="polling", target="/events/poll", wait=25, idle=25),
    Way(name="WebSocket", kind="websocket", target="/ws?heartbeat=event"),
    Way(name="SSE", kind="sse", target="/events?heartbeat=event"),
)
