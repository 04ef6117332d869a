"""Revoked credentials: which ones are refused from now on, and for how long that must be remembered."""

from __future__ import annotations

import hashlib
import heapq
import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_service.model.errors import InvalidToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sse_service.model.principal import Principal

MAX_ENTRIES = 100_000
"""How many revocations a table holds. Each takes about 400 bytes: 40 MB at most."""

MAX_TOKENS_PER_USER = 100
"""How many revoked tokens of one user are listed. The next one revokes all tokens that this user has."""

MAX_NAME_LENGTH = 128
"""A longer user id is replaced by its beginning and a hash, which makes a text that is longer than this limit."""

CLOCK_LEEWAY_SECONDS = 60
"""How far an issuer's clock may be ahead. A credential from further in the future counts as one without a time.

Without this limit, an ``iat`` in milliseconds would make a token that no revocation of its user can reach."""

_USER = "user:"
_TOKEN = "token:"  # noqa: S105  a prefix

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Revocation:
    """Credentials that are refused: those of a user, or a single one."""

    key: str
    """``user:<id>``, or ``token:<credential>:<id>``."""
    at: int
    """A user's credentials that were issued at or before this second are refused. Seconds since 1970."""
    until: int
    """When this may be forgotten, because the credentials have expired. Seconds since 1970."""

    @classmethod
    def of_user(cls, user: str, *, at: int, until: int) -> Revocation:
        """Revoke all credentials of a user."""
        return cls(_user_key(user_name(user)), at, until)

    @classmethod
    def of_token(cls, principal: Principal, *, at: int) -> Revocation:
        """Revoke the credential of this Principal alone, until it expires."""
        return cls(_token_key(principal, user_name(principal.user)), at, principal.expires)

    @property
    def user(self) -> str:
        """The user's name, as ``user_name`` makes it."""
        kind, _, rest = self.key.partition(":")
        return rest if f"{kind}:" == _USER else rest.partition(":")[2]

    @property
    def is_for_one_token(self) -> bool:
        """Whether a single credential is refused."""
        return self.key.startswith(_TOKEN)

    def merged(self, other: Revocation | None) -> Revocation:
        """Return the stricter one of two revocations with the same key."""
        if other is None:
            return self
        return Revocation(self.key, max(self.at, other.at), max(self.until, other.until))


class RevocationTable:
    """The revocations that this task knows.

    For each key it keeps the highest ``at`` and ``until``, so tasks may exchange revocations in any order, and more
    than once. An entry that has expired refuses nothing; ``expire`` removes it.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time, max_entries: int = MAX_ENTRIES) -> None:
        """``clock`` returns seconds since 1970."""
        self._clock = clock
        self._max_entries = max_entries
        self._entries: dict[str, Revocation] = {}
        # Expiry and key, soonest first. Users and tokens are apart: at the limit, tokens are forgotten first. A pair
        # whose entry has got a later expiry meanwhile is outdated.
        self._users: list[tuple[int, str]] = []
        self._tokens: list[tuple[int, str]] = []
        self._tokens_of: Counter[str] = Counter()
        self._warned = False

    def __len__(self) -> int:
        """How many revocations are held."""
        return len(self._entries)

    def entries(self) -> list[Revocation]:
        """Return all revocations."""
        return list(self._entries.values())

    def refuses(self, principal: Principal) -> bool:
        """Whether this credential was revoked."""
        if not self._entries:
            return False
        now, name = self._clock(), user_name(principal.user)
        user = self._entries.get(_user_key(name))
        # Times are whole seconds, so all that was issued in the second of the revocation counts as issued before it.
        if user is not None and user.until > now and not _issued_since(principal, user.at + 1, now):
            return True
        token = self._entries.get(_token_key(principal, name)) if principal.credential else None
        return token is not None and token.until > now

    def check(self, principal: Principal) -> None:
        """Raise InvalidToken if this credential was revoked."""
        if self.refuses(principal):
            raise InvalidToken("the user's tokens were revoked: sign in again")

    def tokens_of(self, user: str) -> int:
        """Return how many single tokens of this user are listed."""
        return self._tokens_of[user_name(user)]

    def merge(self, revocations: Iterable[Revocation]) -> list[Revocation]:
        """Add revocations. Returns those that changed anything, as they are now."""
        changed = []
        for given in revocations:
            known = self._entries.get(given.key)
            merged = given.merged(known)
            if merged == known:
                continue
            self._entries[merged.key] = merged
            if known is None and merged.is_for_one_token:
                self._tokens_of[merged.user] += 1
            if known is None or known.until != merged.until:
                heapq.heappush(self._tokens if merged.is_for_one_token else self._users, (merged.until, merged.key))
            changed.append(merged)
        self._make_room()
        return changed

    def expire(self) -> list[str]:
        """Forget what has expired. Returns the keys."""
        now = self._clock()
        expired = []
        for soonest in (self._users, self._tokens):
            while soonest and soonest[0][0] <= now:
                if (key := self._forget_soonest(soonest)) is not None:
                    expired.append(key)
        return expired

    def _make_room(self) -> None:
        if len(self._entries) <= self._max_entries:
            return
        self.expire()
        if len(self._entries) > self._max_entries and not self._warned:
            self._warned = True
            _log.warning(
                "more than %d revocations are in force: those that expire soonest are forgotten early",
                self._max_entries,
            )
        while len(self._entries) > self._max_entries:
            self._forget_soonest(self._tokens or self._users)

    def _forget_soonest(self, soonest: list[tuple[int, str]]) -> str | None:
        """Remove the first pair and its entry. Returns the key; None if the pair was outdated."""
        until, key = heapq.heappop(soonest)
        entry = self._entries.get(key)
        if entry is None or entry.until != until:
            return None
        del self._entries[key]
        if entry.is_for_one_token:
            self._tokens_of[entry.user] -= 1
            if not self._tokens_of[entry.user]:
                del self._tokens_of[entry.user]
        return key


def user_name(user: str) -> str:
    """Return the name of a user in a key, which is the id unless that is very long."""
    if len(user) <= MAX_NAME_LENGTH:
        return user
    return user[:MAX_NAME_LENGTH] + hashlib.blake2b(user.encode(), digest_size=32).hexdigest()


def _user_key(name: str) -> str:
    return _USER + name


def _token_key(principal: Principal, name: str) -> str:
    return f"{_TOKEN}{principal.credential.hex()}:{name}"


def _issued_since(principal: Principal, second: int, now: float) -> bool:
    """Whether the credential says that it was issued at this second or later. False if it does not say when."""
    return principal.issued is not None and second <= principal.issued <= now + CLOCK_LEEWAY_SECONDS
