"""The authorizer's last answers, so that a storm of reconnects is not a storm on the back end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.model.principal import Principal

REMEMBER_SECONDS = 60.0
"""How long an answer is used again, at most. A user who signs out can open a stream for that long."""

MAX_ANSWERS = 10_000
"""As many as a task has streams by default."""

MAX_BYTES = 16 * 1024 * 1024
"""Memory for all answers together. Most take less than 1 kB, and the largest possible one takes 340 kB."""


class AuthorizerMemory:
    """Remembers who sent which credential, by the credential's digest."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Digest -> Principal, when to forget it, and its size. The oldest is first.
        self._answers: dict[bytes, tuple[Principal, float, int]] = {}
        self._bytes = 0

    def get(self, digest: bytes) -> Principal | None:
        """Return the user of this credential, if it is remembered."""
        principal, until, _ = self._answers.get(digest, (None, 0.0, 0))
        return principal if until > self._clock() else None

    def put(self, digest: bytes, principal: Principal, *, seconds: float) -> None:
        """Remember an answer that is good for ``seconds``."""
        self.forget(digest)
        size = _size(principal)
        self._answers[digest] = principal, self._clock() + min(seconds, REMEMBER_SECONDS), size
        self._bytes += size
        while len(self._answers) > MAX_ANSWERS or self._bytes > MAX_BYTES or self._is_oldest_expired():
            self.forget(next(iter(self._answers)))

    def forget(self, digest: bytes) -> None:
        """Forget an answer, if there is one."""
        if digest in self._answers:
            *_, size = self._answers.pop(digest)
            self._bytes -= size

    def _is_oldest_expired(self) -> bool:
        _, until, _ = next(iter(self._answers.values()), (None, float("inf"), 0))
        return until <= self._clock()


def _size(principal: Principal) -> int:
    """Estimate an answer's memory: its texts, and 500 bytes for the rest.

    Python may add the UTF-8 form to a text that is not ASCII when it is first sent, so it is counted from the start.
    """
    texts = (principal.user, *principal.groups)
    return 500 + sum(sys.getsizeof(text) + (0 if text.isascii() else len(text.encode())) for text in texts)
