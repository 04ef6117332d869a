"""The task's pub/sub connection. It subscribes to the channels in use, and passes their events on."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from redis.exceptions import InvalidResponse, RedisError

from sse_service.brokers.valkey.entries import decode, decode_message
from sse_service.model.errors import Unavailable
from sse_service.model.reasons import DropReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sse_service.brokers.base import Entry, Listener
    from sse_service.brokers.valkey.link import Link
    from sse_service.brokers.valkey.losses import LossDetector
    from sse_service.telemetry.metrics import Metrics

LINGER_SECONDS = 10.0
"""How long a channel stays subscribed after its last stream. Most clients reconnect within seconds."""

MAX_LINGERING = 20_000
"""How many channels without streams stay subscribed. Past it, those unused longest end early.

It is more than a task has streams. With many more, Python's dicts take 5 ms and longer to grow."""

EXPIRE_SECONDS = 1.0
"""How often unused channels and unconfirmed subscriptions are checked."""

BATCH = 1000
"""Maximum number of channels in one command. The event loop gets a turn between two such commands."""

CONFIRM_SECONDS = 5.0
"""How long the server may take to confirm a subscription. After that, the task reconnects."""


_log = logging.getLogger(__name__)


def drop_misdirected(channel: str, metrics: Metrics) -> None:
    """Count and log an entry that the service did not publish to its channel. It must not be delivered."""
    metrics.events_dropped.labels(DropReason.MISDIRECTED).inc()
    _log.error(
        "dropped an entry of channel %s that this service did not publish to it: something else writes to Valkey",
        channel,
    )


class _Request:
    """The channels of one SUBSCRIBE command. The server confirms each of them."""

    __slots__ = ("asked", "channels", "confirmed", "missing")

    def __init__(self) -> None:
        self.channels: list[str] = []
        """Emptied when the command is sent."""
        self.missing = 0
        """How many of them are not confirmed yet."""
        self.asked = 0.0
        """When the command was sent."""
        # True if the server confirmed all channels, False if the connection ended first.
        self.confirmed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


class ValkeyListener:
    """Keeps the server subscribed to the channels that streams use, across reconnects."""

    def __init__(self, *, prefix: str, listener: Listener, losses: LossDetector, metrics: Metrics) -> None:
        """``prefix`` plus a channel is the name of its pub/sub channel."""
        self._prefix = prefix
        self._prefix_bytes = len(prefix.encode())
        self._listener = listener
        self._losses = losses
        self._metrics = metrics
        # Channel -> the request that subscribes to it.
        self._channels: dict[str, _Request] = {}
        # Channel without streams -> since when. The one unused longest comes first.
        self._unused: dict[str, float] = {}
        # The connection that the server knows the subscriptions of.
        self._link: Link | None = None
        # The request that is sent at the end of this turn of the event loop, and those sent but not confirmed.
        self._next: _Request | None = None
        self._unconfirmed: deque[_Request] = deque()
        # The entry passed on last. An event arrives once for each of its channels, in consecutive messages.
        self._delivered_epoch = ""
        self._delivered_offset = 0
        self.received = 0
        """How many messages were received, probes included."""
        # Channels of users and groups and the broadcast channel have other prefixes.
        self._probe = f"probe:{secrets.token_hex(8)}"
        self.probes: set[int] = set()
        """Offsets of the probes that have arrived."""
        self.probed = asyncio.Event()
        """Set when a probe has arrived."""

    async def subscribe(self, channels: Iterable[str]) -> None:
        """Return when the server has confirmed all channels.

        Raises Unavailable if the connection is lost. The next connection subscribes to them by itself.
        """
        requests = [self._use(channel) for channel in channels]
        if self._link is None:
            raise Unavailable("not connected")
        waiting = {request.confirmed for request in requests if not request.confirmed.done()}
        if waiting:
            # Not gather(), because a cancelled caller must not cancel the futures that others wait for.
            await asyncio.wait(waiting)
            if not all(confirmed.result() for confirmed in waiting):
                raise Unavailable("the connection ended")

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe after LINGER_SECONDS, unless the channel is used again."""
        if self._link is None:
            # Nothing expires while disconnected, so streams that come and go in an outage must be forgotten here.
            self._forget(channel)
        elif channel in self._channels:
            self._unused.pop(channel, None)
            self._unused[channel] = time.monotonic()

    @property
    def probe_channel(self) -> str:
        """The pub/sub channel of this task's probes."""
        return self._prefix + self._probe

    def channels(self) -> list[str]:
        """Return the channels that are subscribed to, confirmed or not."""
        return list(self._channels)

    def is_confirmed(self, channel: str) -> bool:
        """Whether the server has confirmed the subscription of a channel."""
        request = self._channels.get(channel)
        return request is not None and request.confirmed.done()

    async def run(self, link: Link, *, confirmed: asyncio.Event) -> None:
        """Subscribe to all channels in use, set ``confirmed`` when this is done, and pass on messages.

        Raises one of CONNECTION_ERRORS when the connection ends, and Unavailable when a subscription is not confirmed.
        """
        for channel in list(self._lingering()):
            self._forget(channel)
        link.attach(self)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(link.run())
                requests = self._renew()
                # From here on, channels that are used for the first time subscribe by themselves.
                self._link = link
                tasks.create_task(self._expire(link))
                for request in requests:
                    self._send(link, request)
                    await asyncio.sleep(0)
                await asyncio.wait([request.confirmed for request in requests])
                if all(request.confirmed.result() for request in requests):
                    confirmed.set()
        finally:
            self._disconnect()

    def receive(self, answers: list[Any]) -> None:
        """Pass on the events in these messages, and note confirmed subscriptions."""
        entries: list[Entry] = []
        try:
            for answer in answers:
                if isinstance(answer, RedisError):
                    raise answer
                kind, name, body = answer
                if kind == b"message":
                    self.received += 1
                    self._handle_message(name[self._prefix_bytes :].decode(), body, entries)
                elif kind == b"subscribe":
                    self._note_confirmed()
        finally:
            self._pass_on(entries)

    def link_ended(self, error: Exception) -> None:
        """Tell those who wait for subscriptions."""
        self._disconnect()

    def _use(self, channel: str) -> _Request:
        request = self._channels.get(channel)
        if request is not None:
            self._unused.pop(channel, None)
            return request
        self._losses.watch(channel)
        request = self._next
        if request is None:
            request = self._next = _Request()
            # All channels that are used in this turn of the event loop go into one command.
            asyncio.get_running_loop().call_soon(self._send_next)
        self._channels[channel] = request
        request.channels.append(channel)
        if len(request.channels) == BATCH:
            self._send_next()
        return request

    def _renew(self) -> list[_Request]:
        """Make new requests for the probes and for all channels."""
        self._next = None
        probe = _Request()
        probe.channels.append(self._probe)
        requests = [probe]
        for number, channel in enumerate(self._channels):
            if number % BATCH == 0:
                requests.append(_Request())
            requests[-1].channels.append(channel)
            self._channels[channel] = requests[-1]
        return requests

    def _send_next(self) -> None:
        request, self._next = self._next, None
        if request is not None and self._link is not None:
            self._send(self._link, request)

    def _send(self, link: Link, request: _Request) -> None:
        channels, request.channels = request.channels, []
        request.missing = len(channels)
        request.asked = time.monotonic()
        self._unconfirmed.append(request)
        link.send("SUBSCRIBE", *[self._prefix + channel for channel in channels])

    def _note_confirmed(self) -> None:
        """Note that one more subscription is confirmed. The server confirms them in the order of the commands."""
        if not self._unconfirmed:
            raise InvalidResponse("a subscription that was not asked for")
        request = self._unconfirmed[0]
        request.missing -= 1
        if not request.missing:
            self._unconfirmed.popleft()
            request.confirmed.set_result(True)

    async def _expire(self, link: Link) -> None:
        """Unsubscribe from unused channels. Raises Unavailable if a subscription is not confirmed in time."""
        while True:
            await asyncio.sleep(EXPIRE_SECONDS)
            if self._unconfirmed and time.monotonic() - self._unconfirmed[0].asked > CONFIRM_SECONDS:
                raise Unavailable("a subscription is not confirmed")
            while channels := list(islice(self._lingering(), BATCH)):
                for channel in channels:
                    self._forget(channel)
                link.send("UNSUBSCRIBE", *[self._prefix + channel for channel in channels])
                await asyncio.sleep(0)

    def _lingering(self) -> Iterator[str]:
        """Return the channels whose time without streams is over."""
        until = time.monotonic() - LINGER_SECONDS
        excess = len(self._unused) - MAX_LINGERING
        for number, (channel, since) in enumerate(self._unused.items()):
            due = since <= until or number < excess
            # One that is not confirmed waits, and so do those after it. CONFIRM_SECONDS limit this.
            if not due or not self._channels[channel].confirmed.done():
                return
            yield channel

    def _forget(self, channel: str) -> None:
        self._channels.pop(channel, None)
        self._unused.pop(channel, None)
        self._losses.forget(channel)

    def _disconnect(self) -> None:
        """Fail the subscriptions that are not confirmed. The next connection asks for them again."""
        self._link = None
        self._next = None
        self._unconfirmed.clear()
        for request in set(self._channels.values()):
            if not request.confirmed.done():
                request.confirmed.set_result(False)

    def _handle_message(self, channel: str, body: bytes, entries: list[Entry]) -> None:
        """Check that no earlier message is missing, then add the event to ``entries``, once for all its channels.

        ``entries`` are passed on before a loss is reported: they came before it.
        """
        try:
            if channel == self._probe:
                self.probes.add(int(body))
                self.probed.set()
                return
            epoch, offset, previous, event = decode_message(body)
            seen = offset == self._delivered_offset and epoch == self._delivered_epoch
            entry = None if seen else decode(event, epoch=epoch, offset=offset)
        except ValueError:
            # Any client of the server can publish, so a malformed message must not end the connection.
            drop_misdirected(channel, self._metrics)
            return
        if epoch != self._losses.epoch:
            self._pass_on(entries)
            self._losses.begin_epoch(epoch)
        if not self._losses.received(channel, previous=previous, offset=offset):
            self._pass_on(entries)
            self._losses.report_missing()
            self._losses.received(channel, previous=previous, offset=offset)
        if entry is None:
            return
        self._delivered_epoch, self._delivered_offset = epoch, offset
        if channel in entry.channels:
            entries.append(entry)
        else:
            drop_misdirected(channel, self._metrics)

    def _pass_on(self, entries: list[Entry]) -> None:
        if entries:
            self._listener(tuple(entries))
            entries.clear()
