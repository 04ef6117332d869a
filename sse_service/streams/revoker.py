"""Revokes credentials: here at once, and on every other task by way of the broker."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from sse_service.model.revocations import MAX_TOKENS_PER_USER, Revocation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from sse_service.brokers.base import Broker
    from sse_service.model.principal import Principal
    from sse_service.model.revocations import RevocationTable
    from sse_service.streams.registry import StreamRegistry


_log = logging.getLogger(__name__)


class Revoker:
    """Signs users out, or single tokens.

    Both methods raise Unavailable if the broker's store did not confirm. The revocation then holds in this task, which
    passes it on when the store is back. It is lost if this task ends before that.
    """

    def __init__(
        self,
        *,
        table: RevocationTable,
        broker: Broker,
        streams: StreamRegistry,
        seconds: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``seconds`` is how long a user's older tokens are refused."""
        self._table = table
        self._broker = broker
        self._streams = streams
        self._seconds = seconds
        self._clock = clock

    async def revoke_user(self, user: str) -> int:
        """Refuse all tokens that this user has now, and end their streams. Returns the streams ended in this task."""
        now = int(self._clock())
        revocations = [Revocation.of_user(user, at=now, until=now + self._seconds)]
        ended = self._apply(revocations)
        # Without the user's id, which may be personal data.
        _log.info("a user was signed out: %d streams of this task ended", ended)
        await self._broker.revoke(revocations)
        return ended

    async def revoke_tokens(self, principals: Iterable[Principal]) -> None:
        """Refuse the tokens of these Principals, and end the streams that were opened with them."""
        now = int(self._clock())
        revocations = []
        for principal in principals:
            if self._table.refuses(principal):
                continue
            if principal.credential and self._table.tokens_of(principal.user) < MAX_TOKENS_PER_USER:
                revocation = Revocation.of_token(principal, at=now)
            else:
                until = max(now + self._seconds, principal.expires)
                revocation = Revocation.of_user(principal.user, at=now, until=until)
            self._apply([revocation])
            revocations.append(revocation)
        if revocations:
            await self._broker.revoke(revocations)

    def opened_with(self, fingerprints: Collection[bytes]) -> dict[bytes, Principal]:
        """Return the Principals of open streams of this task, by the fingerprint of their token.

        They were verified when their streams opened, so they may be revoked even if their keys are gone by now.
        """
        return self._streams.principals(fingerprints)

    def _apply(self, revocations: list[Revocation]) -> int:
        return self._streams.end_revoked(self._table.merge(revocations))
