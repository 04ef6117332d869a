"""Fetch a small document, such as a provider's keys, within limits of time, size and destination."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from sse_service.auth.outbound.addresses import is_forbidden_address, is_forbidden_host, is_loopback
from sse_service.auth.outbound.causes import cause_of
from sse_service.auth.outbound.proxies import proxy_for
from sse_service.model.errors import ServiceError

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

FETCH_SECONDS = 5.0
"""Limit for one document: looking up the name, connecting, redirects and reading."""

MAX_BYTES = 1_000_000

MAX_REDIRECTS = 3

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
    """A document, and how long it may be kept."""

    body: bytes
    max_age: int | None
    """Seconds, by ``Cache-Control``; 0 if it must be asked for again; None if the answer does not say."""
    date: str = ""
    """The ``Date`` header: the server's clock. Empty if there is none."""


async def fetch_json(url: str, *, seconds: float = FETCH_SECONDS) -> tuple[dict[str, Any], int | None]:
    """Fetch a JSON object, and how long it may be kept. Raises FetchError."""
    document = await fetch(url, accept="application/json", seconds=seconds)
    try:
        found = orjson.loads(document.body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise FetchError(URL(url).host or "", "its answer is not a JSON object")
    return found, document.max_age


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
        raise FetchError(host, cause_of(error)) from None
    except ValueError:
        raise FetchError(host, "its URL is not valid") from None


def _session(accept: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=_CheckedResolver(), use_dns_cache=False, force_close=True),
        # Compressed data could become many times larger than the limit.
        headers={"Accept": accept, "Accept-Encoding": "identity", "User-Agent": "sse-service"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        # See proxies.py.
        trust_env=False,
    )


async def _get(session: aiohttp.ClientSession, url: URL) -> Document:
    host = url.host or ""
    for _ in range(MAX_REDIRECTS + 1):
        async with session.get(url, allow_redirects=False, proxy=proxy_for(str(url))) as response:
            if response.status in (301, 302, 303, 307, 308):
                following = url.join(URL(response.headers.get("Location", "")))
                if not following.absolute or following.origin() != url.origin():
                    raise FetchError(host, "it redirects to another host, which is not followed")
                url = following
                continue
            if response.status != 200:
                raise FetchError(host, f"it answered {response.status}", status=response.status)
            max_age = _max_age(response.headers.get("Cache-Control", ""))
            return Document(await _body(response, host), max_age, response.headers.get("Date", ""))
    raise FetchError(host, f"it redirects more than {MAX_REDIRECTS} times")


async def _body(response: aiohttp.ClientResponse, host: str) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MAX_BYTES:
            raise FetchError(host, f"its answer has more than {MAX_BYTES:,} bytes")
    return bytes(body)


class _CheckedResolver(ThreadedResolver):
    """Refuses names that lead to addresses where no document may be fetched."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        # An address may end with a zone (``fe80::1%eth0``), which ipaddress understands.
        if any(is_forbidden_address(each["host"]) for each in found):
            raise FetchError(host, _FORBIDDEN)
        return found


def _check(url: URL) -> None:
    """Check what the URL alone tells. An address in it never reaches the resolver."""
    host = url.host or ""
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(host)):
        raise FetchError(host, "its URL must use https")
    if not host or url.user is not None:
        raise FetchError(host, "its URL is not valid")
    if is_forbidden_host(host) or is_forbidden_host(url.raw_host or ""):
        raise FetchError(host, _FORBIDDEN)


def _max_age(cache_control: str) -> int | None:
    if match := _MAX_AGE.search(cache_control):
        return int(match[1])
    return 0 if _UNCACHED.search(cache_control) else None
