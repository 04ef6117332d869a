"""This task's subscriptions in Valkey: one owner asks for them, reads them, and sees what was lost on the way."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import TYPE_CHECKING

from sse_service.brokers.valkey.entries import decode, push
from sse_service.brokers.valkey.foreign import foreign
from sse_service.brokers.valkey.link import send
from sse_service.model.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from sse_service.brokers.base import Listener, OnLost
    from sse_service.telemetry.metrics import Metrics

LINGER_SECONDS = 10.0
"""A channel stays subscribed for so long after its last stream: most come back within seconds."""

BATCH = 1000
"""Channels named in one command."""

CONFIRM_SECONDS = 5.0
"""For the server to confirm a subscription: past it the connection is made anew."""

_ALL = 2**63

_log = logging.getLogger(__name__)


class _Channel:
    __slots__ = ("asked", "confirmed", "seen", "unwanted_since")

    def __init__(self) -> None:
        self.asked = time.monotonic()
        # True: the server confirmed; False: the connection ended before.
        self.confirmed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        # Offset up to which everything of the channel has come; None until History was read once.
        self.seen: int | None = None
        self.unwanted_since: float | None = None


class ValkeyListener:
    """Owns the connection that messages come by."""

    def __init__(self, *, prefix: str, listener: Listener, on_lost: OnLost, metrics: Metrics) -> None:
        """``prefix`` stands before a channel's name in the names that the server publishes to."""
        self._prefix = prefix
        self._listener = listener
        self._on_lost = on_lost
        self._metrics = metrics
        self._channels: dict[str, _Channel] = {}
        self._connected = False
        # To be told to the server: a channel's name, and whether it is wanted.
        self._orders: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
        self.epoch = ""
        """The life of the store that was heard of last."""
        self._dispatched = 0
        self.proven = 0
        """Offset up to which nothing of any channel is missing, as the store itself said."""
        self.received = 0
        """Messages that came, of whatever kind."""
        # No user, group or broadcast has a channel of that kind.
        self._probe = f"probe:{secrets.token_hex(8)}"
        self.probes: set[int] = set()
        """Offsets of the probes that have come."""
        self.probed = asyncio.Event()
        """Set when one has come."""

    async def subscribe(self, channels: Iterable[str]) -> None:
        """Return when the server has confirmed all of them; raises Unavailable, and asks again when it is back."""
        waiting = [found for found in map(self._want, channels) if not found.done()]
        if not self._connected:
            raise Unavailable("not connected")
        if waiting:
            # Not gather(): whoever is cancelled here must not cancel what others wait for.
            await asyncio.wait(waiting)
            if not all(found.result() for found in waiting):
                raise Unavailable("the connection ended")

    def unsubscribe(self, channel: str) -> None:
        """Let the channel go some time from now, unless it is wanted again."""
        if not self._connected:
            # Nothing lets go meanwhile: those who come and go in an outage must leave nothing behind.
            self._channels.pop(channel, None)
        elif found := self._channels.get(channel):
            found.unwanted_since = time.monotonic()

    @property
    def probe_channel(self) -> str:
        """Where this task's probes are published."""
        return self._prefix + self._probe

    def names(self) -> list[str]:
        """The channels whose messages come by now."""
        return [name for name, found in self._channels.items() if found.confirmed.done()]

    def known(self, channels: Sequence[str], lasts: Sequence[int]) -> None:
        """Take each channel's last offset, as read from the store together with its history."""
        for channel, last in zip(channels, lasts, strict=True):
            if (found := self._channels.get(channel)) is not None and found.seen is None:
                found.seen = last

    def audit(self, channels: Sequence[str], lasts: Sequence[int]) -> None:
        """Compare with each channel's last offset before a probe that has come: all up to it must have come too."""
        for channel, last in zip(channels, lasts, strict=True):
            found = self._channels.get(channel)
            if found is not None and found.seen is not None and last > found.seen:
                self._jump()
                return

    def begin_epoch(self, epoch: str) -> None:
        """The store has begun another life: nothing that came before says anything of it."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.lose_all()
            self.proven = 0

    def lose_all(self) -> None:
        """Messages of any channel may be missing."""
        # Where History was not read yet no stream is live: there is nothing to doubt.
        complete = {
            name: _ALL if found.seen is None else max(found.seen, self.proven) for name, found in self._channels.items()
        }
        for found in self._channels.values():
            found.seen = None
        self._dispatched = 0
        self._on_lost(complete)

    async def run(self, link: AbstractConnection, *, confirmed: asyncio.Event) -> None:
        """Subscribe to all that is wanted, set the event, and work until the connection ends; raises one of FAULTS."""
        now = time.monotonic()
        for name, found in list(self._channels.items()):
            if found.unwanted_since is not None and now - found.unwanted_since > LINGER_SECONDS:
                del self._channels[name]
        wanted = [self._probe, *self._channels]
        # What was ordered of the last connection is in the list, or not wanted any more.
        self._orders = asyncio.Queue()
        for name in wanted[1:]:
            self._channels[name].confirmed = asyncio.get_running_loop().create_future()
            self._channels[name].asked = time.monotonic()
        self._connected = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(link, len(wanted), confirmed))
                await self._say(link, "SUBSCRIBE", wanted)
                tasks.create_task(self._order(link))
                tasks.create_task(self._look_after())
        finally:
            self._connected = False
            for found in self._channels.values():
                if not found.confirmed.done():
                    found.confirmed.set_result(False)

    def _want(self, channel: str) -> asyncio.Future[bool]:
        found = self._channels.get(channel)
        if found is None:
            found = self._channels[channel] = _Channel()
            self._orders.put_nowait((channel, True))
        found.unwanted_since = None
        return found.confirmed

    async def _order(self, link: AbstractConnection) -> None:
        """Tell the server what has changed, in order, many names at a time."""
        while True:
            names: list[str] = []
            name, wanted = await self._orders.get()
            names.append(name)
            while len(names) < BATCH and not self._orders.empty():
                name, other = self._orders.get_nowait()
                if other != wanted:
                    await self._say(link, "SUBSCRIBE" if wanted else "UNSUBSCRIBE", names)
                    names, wanted = [], other
                names.append(name)
            await self._say(link, "SUBSCRIBE" if wanted else "UNSUBSCRIBE", names)

    async def _say(self, link: AbstractConnection, command: str, names: Sequence[str]) -> None:
        for start in range(0, len(names), BATCH):
            words = [self._prefix + name for name in names[start : start + BATCH]]
            await send(link, command, *words)

    async def _look_after(self) -> None:
        """Let go what is not wanted any more; raises Unavailable where the server does not confirm."""
        while True:
            await asyncio.sleep(1)
            before = time.monotonic() - LINGER_SECONDS
            for name, found in list(self._channels.items()):
                if not found.confirmed.done():
                    if time.monotonic() - found.asked > CONFIRM_SECONDS:
                        raise Unavailable("a subscription is not confirmed")
                elif found.unwanted_since is not None and found.unwanted_since < before:
                    del self._channels[name]
                    self._orders.put_nowait((name, False))

    async def _read(self, link: AbstractConnection, first: int, confirmed: asyncio.Event) -> None:
        while True:
            kind, name, body = await link.read_response(disable_decoding=True, disconnect_on_error=False)
            channel = name.decode()[len(self._prefix) :]
            if kind == b"message":
                self.received += 1
                self._take(channel, body)
            elif kind == b"subscribe":
                found = self._channels.get(channel)
                if found is not None and not found.confirmed.done():
                    found.confirmed.set_result(True)
                first -= 1
                if not first:
                    confirmed.set()

    def _take(self, channel: str, body: bytes) -> None:
        """Hand on one message, having looked whether the one before it came."""
        try:
            if channel == self._probe:
                self.probes.add(int(body))
                self.probed.set()
                return
            message = push(body)
            # One event comes once for each of its channels that this task listens to, one right after the other.
            copy = message.offset == self._dispatched and message.epoch == self.epoch
            entry = None if copy else decode(message.event, epoch=message.epoch, offset=message.offset)
        except ValueError:
            # Anybody on the server can publish: it ends nothing.
            foreign(channel, self._metrics)
            return
        if message.epoch != self.epoch:
            self.begin_epoch(message.epoch)
        found = self._channels.get(channel)
        if found is not None:
            if found.seen is not None and message.previous > found.seen:
                self._jump()
            found.seen = max(found.seen or 0, message.offset)
        if entry is None:
            return
        self._dispatched = message.offset
        if channel in entry.channels:
            self._listener((entry,))
        else:
            foreign(channel, self._metrics)

    def _jump(self) -> None:
        """Whatever made one message vanish may have taken others along, of other channels too."""
        self._metrics.broker_jumps.inc()
        _log.warning("a message was lost on the way: streams are served from history")
        self.lose_all()
