"""The task's pub/sub connection. It subscribes to the channels in use, and passes their events on."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import TYPE_CHECKING

from sse_service.brokers.valkey.entries import decode, decode_message
from sse_service.brokers.valkey.pipeline import send
from sse_service.model.errors import Unavailable
from sse_service.model.reasons import DropReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from sse_service.brokers.base import Listener
    from sse_service.brokers.valkey.losses import LossDetector
    from sse_service.telemetry.metrics import Metrics

LINGER_SECONDS = 10.0
"""How long a channel stays subscribed after its last stream. Most clients reconnect within seconds."""

EXPIRE_SECONDS = 1.0
"""How often unused channels and unconfirmed subscriptions are checked."""

BATCH = 1000
"""Maximum number of channels in one command."""

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


class _ChannelState:
    __slots__ = ("asked", "confirmed", "unused_since")

    def __init__(self) -> None:
        self.asked = time.monotonic()
        # True if the server confirmed the subscription, False if the connection ended first.
        self.confirmed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.unused_since: float | None = None


class ValkeyListener:
    """Keeps the server subscribed to the channels that streams use, across reconnects."""

    def __init__(self, *, prefix: str, listener: Listener, losses: LossDetector, metrics: Metrics) -> None:
        """``prefix`` plus a channel is the name of its pub/sub channel."""
        self._prefix = prefix
        self._listener = listener
        self._losses = losses
        self._metrics = metrics
        self._channels: dict[str, _ChannelState] = {}
        self._connected = False
        # Commands to send: a channel, and True to subscribe or False to unsubscribe.
        self._changes: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
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
        waiting = [confirmed for confirmed in map(self._use, channels) if not confirmed.done()]
        if not self._connected:
            raise Unavailable("not connected")
        if waiting:
            # Not gather(), because a cancelled caller must not cancel the futures that others wait for.
            await asyncio.wait(waiting)
            if not all(confirmed.result() for confirmed in waiting):
                raise Unavailable("the connection ended")

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe after LINGER_SECONDS, unless the channel is used again."""
        if not self._connected:
            # Nothing expires while disconnected, so streams that come and go in an outage must be forgotten here.
            self._channels.pop(channel, None)
            self._losses.forget(channel)
        elif found := self._channels.get(channel):
            found.unused_since = time.monotonic()

    @property
    def probe_channel(self) -> str:
        """The pub/sub channel of this task's probes."""
        return self._prefix + self._probe

    def confirmed_channels(self) -> list[str]:
        """Return the channels whose subscriptions are confirmed."""
        return [name for name, found in self._channels.items() if found.confirmed.done()]

    async def run(self, connection: AbstractConnection, *, confirmed: asyncio.Event) -> None:
        """Subscribe to all channels in use, set ``confirmed`` when this is done, and pass on messages.

        Raises one of CONNECTION_ERRORS when the connection ends, and Unavailable when a subscription is not confirmed.
        """
        now = time.monotonic()
        for name, found in list(self._channels.items()):
            if found.unused_since is not None and now - found.unused_since > LINGER_SECONDS:
                del self._channels[name]
                self._losses.forget(name)
        names = [self._probe, *self._channels]
        # Drop changes for the previous connection: these names include them.
        self._changes = asyncio.Queue()
        for found in self._channels.values():
            found.confirmed = asyncio.get_running_loop().create_future()
            found.asked = time.monotonic()
        self._connected = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(connection, len(names), confirmed))
                await self._send(connection, "SUBSCRIBE", names)
                tasks.create_task(self._send_changes(connection))
                tasks.create_task(self._expire())
        finally:
            self._connected = False
            for found in self._channels.values():
                if not found.confirmed.done():
                    found.confirmed.set_result(False)

    def _use(self, channel: str) -> asyncio.Future[bool]:
        found = self._channels.get(channel)
        if found is None:
            found = self._channels[channel] = _ChannelState()
            self._losses.watch(channel)
            self._changes.put_nowait((channel, True))
        found.unused_since = None
        return found.confirmed

    async def _send_changes(self, connection: AbstractConnection) -> None:
        """Send changes to the server in order, with many channels in one command."""
        while True:
            names: list[str] = []
            name, wanted = await self._changes.get()
            names.append(name)
            while len(names) < BATCH and not self._changes.empty():
                name, other = self._changes.get_nowait()
                if other != wanted:
                    await self._send(connection, "SUBSCRIBE" if wanted else "UNSUBSCRIBE", names)
                    names, wanted = [], other
                names.append(name)
            await self._send(connection, "SUBSCRIBE" if wanted else "UNSUBSCRIBE", names)

    async def _send(self, connection: AbstractConnection, command: str, names: Sequence[str]) -> None:
        for start in range(0, len(names), BATCH):
            await send(connection, command, *(self._prefix + name for name in names[start : start + BATCH]))

    async def _expire(self) -> None:
        """Unsubscribe from unused channels. Raises Unavailable if a subscription is not confirmed in time."""
        while True:
            await asyncio.sleep(EXPIRE_SECONDS)
            now = time.monotonic()
            for name, found in list(self._channels.items()):
                if not found.confirmed.done():
                    if now - found.asked > CONFIRM_SECONDS:
                        raise Unavailable("a subscription is not confirmed")
                elif found.unused_since is not None and now - found.unused_since > LINGER_SECONDS:
                    del self._channels[name]
                    self._losses.forget(name)
                    self._changes.put_nowait((name, False))

    async def _read(self, connection: AbstractConnection, unconfirmed: int, confirmed: asyncio.Event) -> None:
        while True:
            kind, name, body = await connection.read_response(disable_decoding=True, disconnect_on_error=False)
            channel = name.decode()[len(self._prefix) :]
            if kind == b"message":
                self.received += 1
                self._handle_message(channel, body)
            elif kind == b"subscribe":
                found = self._channels.get(channel)
                if found is not None and not found.confirmed.done():
                    found.confirmed.set_result(True)
                unconfirmed -= 1
                if not unconfirmed:
                    confirmed.set()

    def _handle_message(self, channel: str, body: bytes) -> None:
        """Check that no earlier message is missing, then pass the event on, once for all its channels."""
        try:
            if channel == self._probe:
                self.probes.add(int(body))
                self.probed.set()
                return
            message = decode_message(body)
            seen = message.offset == self._delivered_offset and message.epoch == self._delivered_epoch
            entry = None if seen else decode(message.event, epoch=message.epoch, offset=message.offset)
        except ValueError:
            # Any client of the server can publish, so a malformed message must not end the connection.
            drop_misdirected(channel, self._metrics)
            return
        if message.epoch != self._losses.epoch:
            self._losses.begin_epoch(message.epoch)
        self._losses.received(channel, previous=message.previous, offset=message.offset)
        if entry is None:
            return
        self._delivered_epoch, self._delivered_offset = message.epoch, message.offset
        if channel in entry.channels:
            self._listener((entry,))
        else:
            drop_misdirected(channel, self._metrics)
