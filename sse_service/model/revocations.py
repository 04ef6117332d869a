"""Revoked credentials: which ones are refused from now on, and for how long that must be remembered."""

from __future__ import annotations

import hashlib
import heapq
import logging
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sse_service.model.errors import InvalidToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sse_service.model.principal import Principal

MAX_ENTRIES = 100_000
"""How many revocations a table holds. Each takes 700 bytes at most: 70 MB."""

MAX_TOKENS_PER_USER = 100
"""How many revoked tokens of one user are listed. The next one revokes all tokens that this user has."""

MAX_NAME_LENGTH = 64
"""A user id that is longer or not ASCII is replaced by a hash, which is longer than this limit.

Python takes four bytes for each character of a text that has one emoji."""

CLOCK_LEEWAY_SECONDS = 60
"""How far the clock of an issuer, or of another task, may be ahead.

A credential from further in the future counts as one without a time. Without this limit, an ``iat`` in milliseconds
would make a token that no revocation of its user can reach. A revocation from further in the future would refuse each
new credential of its user until then, so it holds as if it was made at the limit."""

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
        return Revocation(other.key, max(self.at, other.at), max(self.until, other.until))


class RevocationTable:
    """The revocations that this task knows.

    For each key it keeps the highest ``at`` and ``until``, so tasks may exchange revocations in any order, and more
    than once. An ``at`` in the future is limited when it is merged. An entry that has expired refuses nothing;
    ``expire`` removes it.
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
        # Keys of what was forgotten since the last call of ``expire``.
        self._expired: list[str] = []
        self._warned_of_limit = self._warned_of_clock = False

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
        if not self.refuses(principal):
            return
        if _token_key(principal, user_name(principal.user)) in self._entries:
            raise InvalidToken("this session was ended: sign in again")
        raise InvalidToken("the user's tokens were revoked: sign in again")

    def tokens_of(self, user: str) -> int:
        """Return how many single tokens of this user are refused."""
        self._forget_expired()
        return self._tokens_of[user_name(user)]

    def merge(self, revocations: Iterable[Revocation]) -> list[Revocation]:
        """Add revocations. Returns those that changed anything, as they are now."""
        changed = []
        for given in revocations:
            known = self._entries.get(given.key)
            merged = self._limited(given).merged(known)
            if merged == known:
                continue
            self._entries[merged.key] = merged
            if known is None and merged.is_for_one_token:
                self._tokens_of[merged.user] += 1
            if known is None or known.until != merged.until:
                self._note_expiry(merged)
            changed.append(merged)
        self._make_room()
        return changed

    def expire(self) -> list[str]:
        """Forget what has expired. Returns the keys, also of what was forgotten since the last call."""
        self._forget_expired()
        expired, self._expired = self._expired, []
        return expired

    def _forget_expired(self) -> None:
        now = self._clock()
        for soonest in (self._users, self._tokens):
            while soonest and soonest[0][0] <= now:
                if (key := self._forget_soonest(soonest)) is not None:
                    self._expired.append(key)

    def _note_expiry(self, entry: Revocation) -> None:
        soonest = self._tokens if entry.is_for_one_token else self._users
        heapq.heappush(soonest, (entry.until, entry.key))
        # Users who are revoked again and again must not leave behind a pair for each time.
        if len(soonest) > 2 * len(self._entries) + 64:
            soonest[:] = [pair for pair in soonest if self._is_current(pair)]
            heapq.heapify(soonest)

    def _is_current(self, pair: tuple[int, str]) -> bool:
        until, key = pair
        return key in self._entries and self._entries[key].until == until

    def _limited(self, revocation: Revocation) -> Revocation:
        """Return the revocation as it holds if the clock of the task that made it is ahead."""
        now = int(self._clock())
        if revocation.at <= now + CLOCK_LEEWAY_SECONDS:
            return revocation
        if not self._warned_of_clock:
            self._warned_of_clock = True
            _log.warning(
                "a revocation came from a clock that is %d s ahead: it holds as if made %d s from now; "
                "correct the clocks of the tasks",
                *(revocation.at - now, CLOCK_LEEWAY_SECONDS),
            )
        return replace(revocation, at=now + CLOCK_LEEWAY_SECONDS)

    def _make_room(self) -> None:
        if len(self._entries) <= self._max_entries:
            return
        self._forget_expired()
        if len(self._entries) > self._max_entries and not self._warned_of_limit:
            self._warned_of_limit = True
            _log.warning(
                "more than %d revocations are in force: those that expire soonest are forgotten early",
                self._max_entries,
            )
        while len(self._entries) > self._max_entries:
            self._forget_soonest(self._tokens or self._users)

    def _forget_soonest(self, soonest: list[tuple[int, str]]) -> str | None:
        """Remove the first pair and its entry. Returns the key; None if the pair was outdated."""
        pair = heapq.heappop(soonest)
        if not self._is_current(pair):
            return None
        _, key = pair
        entry = self._entries.pop(key)
        if entry.is_for_one_token:
            self._tokens_of[entry.user] -= 1
            if not self._tokens_of[entry.user]:
                del self._tokens_of[entry.user]
        return key


def user_name(user: str) -> str:
    """Return the name of a user in a key: the id, or a hash of it (see MAX_NAME_LENGTH)."""
    if len(user) <= MAX_NAME_LENGTH and user.isascii():
        return user
    return "#" + hashlib.blake2b(user.encode(), digest_size=MAX_NAME_LENGTH // 2).hexdigest()


def _user_key(name: str) -> str:
    return _USER + name


def _token_key(principal: Principal, name: str) -> str:
    return f"{_TOKEN}{principal.credential.hex()}:{name}"


def _issued_since(principal: Principal, second: int, now: float) -> bool:
    """Whether the credential says that it was issued at this second or later. False if it does not say when.

    If an issuer's clock is ahead by more than the leeway, its older credentials are refused only until their time has
    come: nothing tells them from those that are issued then.
    """
    return principal.issued is not None and second <= principal.issued <= now + CLOCK_LEEWAY_SECONDS
