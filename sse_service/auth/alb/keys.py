"""The public keys with which the Application Load Balancers of a region sign, fetched one by one by their id."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm

from sse_service.auth.outbound.fetch import FetchError, fetch
from sse_service.model.errors import InvalidToken, Overloaded
from sse_service.model.reasons import RefusalReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ALGORITHM = "ES256"
"""What load balancers sign with (AWS's documentation: ECDSA, P-256 and SHA-256)."""

MAX_KEYS = 32

KEY_SECONDS = 86_400
"""How long a key is used if it cannot be fetched again."""

REFRESH_SECONDS = 3600
"""Age at which a key is fetched again, so that one that AWS has withdrawn is dropped."""

UNKNOWN_SECONDS = 60
"""How long an id that AWS does not know is refused without asking again."""

FETCHES_AT_ONCE = 10
SECONDS_PER_FETCH = 2
"""Anybody can invent ids, and each one costs a fetch. After a burst there is one fetch in 2 s. It goes to whoever comes
first, so users of a new key get their share of these fetches, even while such a flood goes on."""

TROUBLE_SECONDS = 60
"""How long a failure is reported. Without a request nothing is fetched, so no success would end it."""

UNKNOWN_STATUSES = (403, 404)
"""S3, which serves the keys of some regions, answers 403 to clients that may not list its objects."""

_log = logging.getLogger(__name__)


def keys_url(arn: str) -> str:
    """Return the address of the keys of a load balancer's region. A key's id is appended to it.

    See "Authenticate users using an Application Load Balancer" in AWS's documentation. It names no address for China:
    this one follows the names of other services there.
    """
    _, partition, _, region, *_ = arn.split(":")
    if partition == "aws-us-gov":
        return f"https://s3-{region}.amazonaws.com/aws-elb-public-keys-prod-{region}/"
    return f"https://public-keys.auth.elb.{region}.{'amazonaws.com.cn' if partition == 'aws-cn' else 'amazonaws.com'}/"


async def fetch_pem(url: str) -> bytes:
    """Fetch a key. Raises FetchError."""
    return (await fetch(url, accept="*/*")).body


class ALBKeys:
    """Fetches a key when a request first needs it, once for all requests that wait for it, and keeps it."""

    def __init__(
        self,
        *,
        url: str,
        fetch: Callable[[str], Awaitable[bytes]] = fetch_pem,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``fetch`` returns what is at a URL, or raises FetchError."""
        self._url = url
        self._host = urlsplit(url).hostname
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, tuple[jwt.PyJWK, float]] = {}
        self._unknown: dict[str, float] = {}
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._budget: float = FETCHES_AT_ONCE
        self._budget_at = clock()
        self._failure = ""
        self._failed_at = 0.0

    @property
    def trouble(self) -> str | None:
        """What is wrong with the endpoint, or None."""
        recent = self._failure and self._clock() - self._failed_at < TROUBLE_SECONDS
        return self._failure if recent else None

    async def key(self, kid: str) -> jwt.PyJWK:
        """Return the key with this id. The caller has checked that it is a UUID, because it becomes part of a URL.

        Raises InvalidToken if AWS does not know the id, and Overloaded if the key cannot be fetched now.
        """
        if self._find(kid) is None:
            # The fetch goes on if this client leaves, because others may wait for it.
            await asyncio.shield(self._fetch_once(kid))
        key = self._find(kid)
        if key is None:
            raise Overloaded(RefusalReason.IDENTITY)
        if self._clock() - self._keys[kid][1] > REFRESH_SECONDS and self._has_budget():
            self._fetch_once(kid)
        return key

    def _find(self, kid: str) -> jwt.PyJWK | None:
        """Return a key that was fetched before. Raises InvalidToken for an id that AWS did not know."""
        now = self._clock()
        key, fetched = self._keys.get(kid, (None, now))
        if now - fetched < KEY_SECONDS:
            if key is None and now - self._unknown.get(kid, -UNKNOWN_SECONDS) < UNKNOWN_SECONDS:
                raise InvalidToken(internal_reason="AWS knows no load balancer's key with the kid of this header")
            return key
        return None

    def _fetch_once(self, kid: str) -> asyncio.Task[None]:
        """Return the running fetch of this key, or start one. Raises Overloaded if there were too many."""
        if kid not in self._fetching:
            if not self._has_budget():
                raise Overloaded(RefusalReason.IDENTITY)
            self._budget -= 1
            task = self._fetching[kid] = asyncio.create_task(self._update(kid))
            task.add_done_callback(lambda _: self._fetching.pop(kid))
        return self._fetching[kid]

    def _has_budget(self) -> bool:
        now = self._clock()
        self._budget = min(FETCHES_AT_ONCE, self._budget + (now - self._budget_at) / SECONDS_PER_FETCH)
        self._budget_at = now
        return self._budget >= 1

    async def _update(self, kid: str) -> None:
        """Fetch a key, and keep it. If AWS does not know the id, remember that, and drop the key."""
        try:
            key = _key(await self._fetch(self._url + kid))
        except FetchError as error:
            if error.status not in UNKNOWN_STATUSES:
                self._fail(str(error))
                return
            self._keys.pop(kid, None)
            self._unknown = {known: at for known, at in self._unknown.items() if self._is_recent(at)}
            self._unknown[kid] = self._clock()
        except ValueError:
            self._fail(f"{self._host}: its answer is not a public key on P-256")
            return
        # Catch everything: all requests that wait for this key would raise it too.
        except Exception as error:
            self._fail(f"{self._host}: unexpected {type(error).__name__}", error)
            return
        else:
            self._keys.pop(kid, None)
            while len(self._keys) >= MAX_KEYS:
                del self._keys[next(iter(self._keys))]
            self._keys[kid] = key, self._clock()
        self._failure = ""

    def _is_recent(self, at: float) -> bool:
        return self._clock() - at < UNKNOWN_SECONDS

    def _fail(self, failure: str, error: Exception | None = None) -> None:
        if self.trouble is None:
            _log.warning(
                "the load balancer's keys cannot be fetched (%s). Clients whose key is not known are told to come back",
                failure,
                exc_info=error,
            )
        self._failure, self._failed_at = failure, self._clock()


def _key(pem: bytes) -> jwt.PyJWK:
    """Make the key from AWS's PEM. Raises ValueError if it is not a public key on P-256."""
    try:
        public = load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
    if not isinstance(public, EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise ValueError("not on P-256")
    return jwt.PyJWK(ECAlgorithm.to_jwk(public, as_dict=True), ALGORITHM)
