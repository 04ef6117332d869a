"""One HTTP request to the authorizer: what is sent, and what is accepted as an answer."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import orjson
from yarl import URL

from sse_service.auth.authorizer.answer import (
    MUST_REFUSE,
    NOT_ALLOWED,
    NOT_SIGNED_IN,
    AuthorizerFailure,
    principal_of,
)
from sse_service.auth.authorizer.calls import PLACES
from sse_service.auth.outbound.causes import cause_of
from sse_service.auth.outbound.proxies import proxy_for
from sse_service.model.errors import Forbidden, InvalidToken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sse_service.auth.authorizer.credentials import Credentials
    from sse_service.model.principal import Principal

MAX_ANSWER_BYTES = 65_536
"""Limit of an answer's body. A user and 100 groups need a few kilobytes."""

CHECK_WAY = "check SSE_AUTHORIZER_URL, whether the back end runs, the security groups of both, and HTTPS_PROXY"
"""What to do if no answer came."""

_NOT_OF_REQUEST = (404, 405, 407, 408, 429)
"""Statuses from 400 to 499 that any request may get: the path is wrong, a proxy is in the way, or there are too many.

Any other one is about this request. A server answers 400 or 431 to headers that are too long for it, and anybody can
send such headers.
"""

_HEADERS = {
    "Accept": "application/json",
    # Nothing is decompressed: a few kilobytes can become gigabytes.
    "Accept-Encoding": "identity",
    "User-Agent": "sse-service",
}


@asynccontextmanager
async def open_session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open the connections to the authorizer. They are kept alive and used again."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=PLACES),
        # A cookie that the back end sets in one user's answer must not be sent with another user's request.
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        auto_decompress=False,
        # See proxies.py.
        trust_env=False,
        # The caller limits the time, with the wait for a place.
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        yield session


async def ask(session: aiohttp.ClientSession, url: str, credentials: Credentials) -> Principal:
    """Ask the authorizer once.

    Raises InvalidToken if it answers 401, Forbidden for 403, and AuthorizerFailure for everything that is no answer.
    The time is not limited here.
    """
    sent = {"Cookie": credentials.cookie, "Authorization": credentials.authorization}
    headers = {name: text for name, text in sent.items() if text}
    issued = time.time()
    try:
        async with session.get(url, headers=headers, allow_redirects=False, proxy=proxy_for(url)) as response:
            _check_status(response.status)
            body = await _body(response)
    except (aiohttp.ClientError, OSError) as error:
        cause = cause_of(error, URL(url).host or "")
        raise AuthorizerFailure(f"did not answer: {cause}", CHECK_WAY) from None
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise AuthorizerFailure("answered 200 without JSON", MUST_REFUSE) from None
    return principal_of(answer, issued=issued, credential=credentials.digest)


def _check_status(status: int) -> None:
    """Raise what a status other than 200 means."""
    if status == 200:
        return
    if status == 401:
        raise InvalidToken(NOT_SIGNED_IN)
    if status == 403:
        raise Forbidden(NOT_ALLOWED)
    if 400 <= status < 500 and status not in _NOT_OF_REQUEST:
        raise AuthorizerFailure(
            f"answered {status} to a request",
            "it must answer 200, 401 or 403, even if the request has 16 KiB of headers",
            of_request=True,
        )
    advice = "it must answer 200, 401 or 403"
    if 300 <= status < 400:
        advice = MUST_REFUSE
    elif status in (404, 405):
        advice = "correct SSE_AUTHORIZER_URL, or let the back end answer a GET there"
    elif status == 407:
        advice = "the proxy wants a password: check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    elif status >= 500:
        advice = "the back end's own log should say why"
    raise AuthorizerFailure(f"answered {status}", advice)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise AuthorizerFailure(
            "compressed its answer", "turn compression off for this path: the request says Accept-Encoding: identity"
        )
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise AuthorizerFailure(f"answered with more than {MAX_ANSWER_BYTES} bytes", MUST_REFUSE)
    return bytes(body)
