"""Fetch a small document, such as a provider's keys, within limits of time, size and destination."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from sse_service.auth.outbound.addresses import is_forbidden_address, is_forbidden_host, is_loopback
from sse_service.auth.outbound.causes import cause_of
from sse_service.auth.outbound.proxies import proxy_for
from sse_service.model.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FETCH_SECONDS = 5.0
"""Limit for one document: looking up the name, connecting, redirects and reading."""

MAX_BYTES = 1_000_000

MAX_REDIRECTS = 3

MAX_LOOKUPS = 32
"""Limit of name look-ups at the same time. One cannot be ended: if no name server answers, its thread stays for half a
minute or longer, while fetches are tried again."""

_lookup_slots = threading.BoundedSemaphore(MAX_LOOKUPS)
_LOOKUP_FLAGS = socket.AI_ADDRCONFIG
_RESULT_FLAGS = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
_FORBIDDEN = "its address is link-local or an instance's metadata"
_MAX_AGE = re.compile(r'(?:^|[\s,])max-age="?(\d{1,10})', re.IGNORECASE | re.ASCII)
_UNCACHED = re.compile(r"(?:^|[\s,])no-(?:store|cache)\b", re.IGNORECASE | re.ASCII)


class FetchError(ServiceError):
    """A document could not be fetched, or is not what was expected. The text names the host and the cause."""

    def __init__(self, host: str, cause: str, *, status: int | None = None) -> None:
        """``cause`` contains no addresses and no credentials. It is shown on the public port.

        ``status`` is the status of the answer, if that is the cause.
        """
        super().__init__(f"{host}: {cause}")
        self.cause = cause
        self.status = status


@dataclass(frozen=True, slots=True)
class Document:
    """A document, how long it may be kept, and when it was fetched."""

    body: bytes
    max_age: int | None
    """Seconds, by ``Cache-Control``; 0 if it must be asked for again; None if the answer does not say."""
    date: str
    """The ``Date`` header: the server's clock. Empty if there is none."""
    sent: float
    received: float
    """When it was asked for, and when its answer began: seconds since 1970 by the local clock."""


async def fetch_json(url: str, *, seconds: float = FETCH_SECONDS) -> tuple[dict[str, Any], Document]:
    """Fetch a JSON object. Return it, and the document that it was read from. Raises FetchError."""
    document = await fetch(url, accept="application/json", seconds=seconds)
    try:
        found = orjson.loads(document.body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise FetchError(URL(url).host or "", "its answer is not a JSON object")
    return found, document


async def fetch(url: str, *, accept: str, seconds: float = FETCH_SECONDS) -> Document:
    """Fetch a document of at most MAX_BYTES. Redirects are followed on the same scheme, host and port only.

    A name is looked up once for each connection, and its addresses are checked before one is used. If a proxy makes
    the connection (``HTTPS_PROXY``), the proxy looks up the name.

    Raises FetchError.
    """
    host = ""
    try:
        target = URL(url)
        host = target.host or ""
        _check(target)
        async with asyncio.timeout(seconds), _session(accept) as session:
            return await _get(session, target)
    except TimeoutError:
        raise FetchError(host, f"no complete answer within {seconds:g} s") from None
    except aiohttp.ClientError as error:
        raise FetchError(host, cause_of(error, host)) from None
    except ValueError:
        raise FetchError(host, "its URL is not valid") from None


@asynccontextmanager
async def _session(accept: str) -> AsyncIterator[aiohttp.ClientSession]:
    # A thread of its own: in those of the event loop, a look-up that gets no answer holds up everybody's look-ups.
    lookups = ThreadPoolExecutor(max_workers=1, thread_name_prefix="identity-lookup")
    try:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=_CheckedResolver(lookups), use_dns_cache=False, force_close=True),
            # Compressed data could become many times larger than the limit.
            headers={"Accept": accept, "Accept-Encoding": "identity", "User-Agent": "sse-service"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            # See proxies.py.
            trust_env=False,
        ) as session:
            yield session
    finally:
        lookups.shutdown(wait=False, cancel_futures=True)


async def _get(session: aiohttp.ClientSession, url: URL) -> Document:
    host = url.host or ""
    for _ in range(MAX_REDIRECTS + 1):
        proxy = proxy_for(str(url))
        if proxy is not None:
            _check_proxy(proxy, host)
        sent = time.time()
        async with session.get(url, allow_redirects=False, proxy=proxy) as response:
            received = time.time()
            if response.status in (301, 302, 303, 307, 308):
                if not (location := response.headers.get("Location")):
                    raise FetchError(host, "it redirects without saying where")
                following = url.join(URL(location))
                if not following.absolute or following.origin() != url.origin():
                    raise FetchError(host, "it redirects to another host, which is not followed")
                url = following
                continue
            if response.status != 200:
                raise FetchError(host, f"it answered {response.status}", status=response.status)
            return Document(
                await _body(response, host),
                max_age=_max_age(response.headers.get("Cache-Control", "")),
                date=response.headers.get("Date", ""),
                sent=sent,
                received=received,
            )
    raise FetchError(host, f"it redirects more than {MAX_REDIRECTS} times")


async def _body(response: aiohttp.ClientResponse, host: str) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MAX_BYTES:
            raise FetchError(host, f"its answer has more than {MAX_BYTES:,} bytes")
    return bytes(body)


class _CheckedResolver(AbstractResolver):
    """Looks up names, and refuses those that lead to addresses where no document may be fetched."""

    def __init__(self, lookups: ThreadPoolExecutor) -> None:
        """``lookups`` is closed by the caller."""
        self._lookups = lookups

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Implement ``AbstractResolver``."""
        found = await self._look_up(host, port, family)
        addresses = [(str(address[0]), family, protocol) for family, _, protocol, _, address in found]
        # An address may end with a zone (``fe80::1%eth0``), which ipaddress understands.
        if any(is_forbidden_address(address) for address, _, _ in addresses):
            raise FetchError(host, _FORBIDDEN)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=protocol, flags=_RESULT_FLAGS)
            for address, family, protocol in addresses
        ]

    async def _look_up(self, host: str, port: int, family: socket.AddressFamily) -> list[Any]:
        if not _lookup_slots.acquire(blocking=False):
            raise FetchError(host, "its name is not looked up: the name servers do not answer")
        try:
            lookup = self._lookups.submit(
                socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=_LOOKUP_FLAGS
            )
        except BaseException:
            _lookup_slots.release()
            raise
        lookup.add_done_callback(lambda _: _lookup_slots.release())
        return await asyncio.wrap_future(lookup)

    async def close(self) -> None:
        """Implement ``AbstractResolver``."""


def _check(url: URL) -> None:
    """Check what the URL alone tells. An address in it never reaches the resolver."""
    host = url.host or ""
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(host)):
        raise FetchError(host, "its URL must use https")
    if not host or url.user is not None:
        raise FetchError(host, "its URL is not valid")
    if is_forbidden_host(host) or is_forbidden_host(url.raw_host or ""):
        raise FetchError(host, _FORBIDDEN)


def _check_proxy(proxy: str, host: str) -> None:
    """Check the proxy's URL. aiohttp's errors do not tell whether this URL or that of the document is wrong."""
    try:
        url = URL(proxy)
        valid = url.scheme in ("http", "https") and bool(url.host)
    except ValueError:
        valid = False
    if not valid:
        raise FetchError(host, "the URL of the proxy (HTTPS_PROXY, HTTP_PROXY) is not valid")


def _max_age(cache_control: str) -> int | None:
    if match := _MAX_AGE.search(cache_control):
        return int(match[1])
    return 0 if _UNCACHED.search(cache_control) else None
