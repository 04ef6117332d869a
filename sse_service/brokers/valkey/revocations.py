"""Keeps the task's revocations equal to those in Valkey."""

from __future__ import annotations

import asyncio
import logging
from itertools import islice
from typing import TYPE_CHECKING

from sse_service.brokers.valkey.scripts import REVOCATIONS, Script
from sse_service.model.revocations import MAX_ENTRIES, Revocation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_service.brokers.base import OnRevoked, Revocations
    from sse_service.brokers.valkey.pipeline import Pipeline

MAX_STORED = 2 * MAX_ENTRIES
"""How many revocations the store holds. Past it, the oldest go. Tasks forget single tokens before users, so they need
to see more than they keep."""

PAGE = 1000
"""How many revocations one call sends, and how many it returns at most."""

_log = logging.getLogger(__name__)


class ValkeyRevocations:
    """Exchanges revocations with the store: sends what the store does not have, and reads what is new in it.

    Nothing is pushed, so nothing can be lost on the way: a task that was away reads on from where it was.
    """

    def __init__(self, *, revocations: Revocations, on_revoked: OnRevoked) -> None:
        self._revocations = revocations
        self._on_revoked = on_revoked
        self._script = Script(REVOCATIONS)
        # The store's life, and its change up to which this task has everything.
        self._life = b""
        self._change = b"0"
        # What the store has not confirmed, by key.
        self._unsent: dict[str, Revocation] = {}
        # Keys of what has expired, and may still be in the store. A dict keeps the order.
        self._expired: dict[str, None] = {}
        self._turn = asyncio.Lock()
        self._reported = False

    def add(self, revocations: Sequence[Revocation]) -> None:
        """Add revocations of this task, which the next exchange sends."""
        self._expire()
        self._send_later(revocations)
        self._merge(revocations)

    def report_unsent(self) -> None:
        """Log that there are revocations that only this task has, once until they are sent."""
        if not self._reported:
            self._reported = True
            _log.warning(
                "%d revocations hold in this task only: Valkey is unavailable, and gets them when it is back",
                len(self._unsent),
            )

    async def exchange(self, pipeline: Pipeline, run_id: str) -> None:
        """Send and read until both sides have everything. Raises Unavailable."""
        async with self._turn:
            while await self._exchange_page(pipeline, run_id) or self._unsent:
                pass
        self._reported = False

    async def _exchange_page(self, pipeline: Pipeline, run_id: str) -> bool:
        """Send and read up to one page. Returns whether there is more to read."""
        self._expire()
        sent = list(islice(self._unsent.values(), PAGE))
        expired = list(islice(self._expired, PAGE))
        arguments = [argument for each in sent for argument in (each.key, each.at, each.until)]
        life, change, more, *flat = await self._script(
            *(pipeline, run_id, MAX_STORED, PAGE, self._life, self._change, len(sent)), *arguments, *expired
        )
        for each in sent:
            if self._unsent.get(each.key) is each:
                del self._unsent[each.key]
        for key in expired:
            self._expired.pop(key, None)
        if life != self._life:
            # Another store, or one that may have lost some. The answer begins with its first revocation.
            confirmed = {each.key for each in sent}
            self._send_later([each for each in self._revocations.entries() if each.key not in confirmed])
        self._life, self._change = life, change
        self._merge(
            [
                # Any client of the server can write, so a key may be no text.
                Revocation(key.decode("utf-8", "replace"), int(at), int(until))
                for key, at, until in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
            ]
        )
        return bool(more)

    def _expire(self) -> None:
        """Forget what has expired. In an outage, do not collect more than a table holds: another task removes it."""
        for key in self._revocations.expire():
            self._unsent.pop(key, None)
            self._expired[key] = None
        if len(self._expired) > MAX_ENTRIES:
            self._expired.clear()

    def _send_later(self, revocations: Sequence[Revocation]) -> None:
        for each in revocations:
            self._unsent[each.key] = each.merged(self._unsent.get(each.key))
        while len(self._unsent) > MAX_ENTRIES:
            del self._unsent[next(iter(self._unsent))]

    def _merge(self, revocations: Sequence[Revocation]) -> None:
        if changed := self._revocations.merge(revocations):
            self._on_revoked(changed)
