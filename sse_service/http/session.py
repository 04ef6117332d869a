"""``/session`` exchanges a bearer token for a cookie, because an EventSource cannot set headers."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from starlette.responses import Response

from sse_service.auth.bearer import bearer_token
from sse_service.auth.cookie import cookie_values
from sse_service.auth.origin import check_origin
from sse_service.auth.tokens.verifier import fingerprint
from sse_service.http.pacer import Pacer
from sse_service.http.problems import problem, unauthorized
from sse_service.model.errors import Forbidden, InvalidToken, MissingToken, Overloaded, Unavailable

if TYPE_CHECKING:
    from starlette.requests import Request

    from sse_service.auth.tokens.verifier import TokenVerifier
    from sse_service.model.principal import Principal
    from sse_service.model.revocations import RevocationTable
    from sse_service.streams.revoker import Revoker

MAX_COOKIE_BYTES = 4096
"""Maximum size of name, value and attributes (RFC 6265 section 6.1). Browsers drop larger cookies."""

MAX_REVOKED_TOKENS = 12
"""How many tokens of one request are revoked. A browser has one cookie of a name for each domain. Only tokens that were
verified count."""

MAX_TRIED_TOKENS = 80
"""How many tokens of one request are verified, the longest first. Each costs up to 80 µs, also if it is forged.

A sibling subdomain can set cookies of the session's name, to crowd out the good one. For this they must be as long as
the good one, and 16 KiB of headers have no room for 80 cookies that are longer than 200 bytes."""

MAX_DOMAINS = 8
"""How many domains of a host may get an expired cookie. Bounded, because the client chooses the Host header."""

MAX_HOST_LENGTH = 261
"""A name of 253 characters (RFC 1035 section 2.3.4), a colon, and up to 7 characters of a port."""

_NOT_REVOKED = (
    "the cookie is removed, but its token cannot be checked now, so it is still in force: try again with "
    "'Authorization: Bearer …'"
)

_HOST = re.compile(r"((?:[a-z0-9_-]+\.)+[a-z0-9_-]+)(?::\d+)?", re.IGNORECASE | re.ASCII)


class Session:
    """Sets the session cookie, and removes it."""

    def __init__(
        self,
        *,
        verifier: TokenVerifier | None,
        revocations: RevocationTable,
        revoker: Revoker,
        allowed_origins: Collection[str],
        cookie_name: str,
        same_site: Literal["lax", "strict", "none"],
        domain: str | None,
        secure: bool,
    ) -> None:
        """``verifier`` is None if the settings allow no tokens. Then no session can be made."""
        self._verifier = verifier
        self._revocations = revocations
        self._revoker = revoker
        self._allowed_origins = frozenset(allowed_origins)
        self._cookie_name = cookie_name
        self._same_site = same_site
        self._domain = domain and domain.removeprefix(".").lower()
        self._secure = secure
        # Anybody can send tokens that must be verified. Apart from that of the streams, so that neither crowd holds up
        # the other.
        self._pacer = Pacer()

    async def create(self, request: Request) -> Response:
        """Set the cookie to the token of the ``Authorization`` header. Any cookie that was sent is replaced."""
        if self._verifier is None:
            return problem(404, "this service accepts no tokens: open the stream without a session")
        try:
            token = bearer_token(request)
            if token is None:
                raise MissingToken("a token is needed: send 'Authorization: Bearer …'")
            await self._pacer.wait()
            principal = await self._verifier.verify(token)
            self._revocations.check(principal)
        except InvalidToken as error:
            return unauthorized(error)
        except Forbidden as error:
            return problem(403, str(error))
        except Overloaded:
            return _try_again("the token cannot be checked now: try again")
        if self._domain and not _is_inside(self._domain, request.headers.get("host", "")):
            return problem(
                400,
                f"the request's Host is not {self._domain} or a host inside it, so browsers drop the cookie: correct "
                "SSE_COOKIE_DOMAIN, or unset it; a proxy in between must forward the browser's Host unchanged",
            )
        response = _no_content()
        if cookie_values(request, self._cookie_name):
            self._expire(response, [domain for domain in self._domains(request) if domain != self._domain])
        # Set last, because some browsers treat a host-only cookie and one with the host as Domain as the same.
        self._set(response, token, max_age=principal.expires - int(time.time()), domain=self._domain)
        if (size := len(response.headers.getlist("set-cookie")[-1])) > MAX_COOKIE_BYTES:
            return problem(
                400,
                f"the token makes a cookie of {size} bytes, and browsers drop cookies of more than {MAX_COOKIE_BYTES}: "
                "put fewer or shorter groups and claims into the token, or open the stream with a client that can send "
                "'Authorization: Bearer …'",
            )
        return response

    async def delete(self, request: Request) -> Response:
        """Revoke the request's tokens, and expire the cookie in all domains from which the browser may have sent it.

        If a token cannot be judged now, it is not revoked, and the answer is 503. The cookie is expired all the same: a
        user who signs out at a shared computer must not stay signed in because a provider is away. A page that has the
        token can try again with it in the header. Tokens that are not valid are not revoked.
        """
        try:
            # Safe without Origin: browsers send it with every DELETE, so a request without it is not from a browser.
            check_origin(request, allowed=self._allowed_origins, safe=True)
        except Forbidden as error:
            return problem(403, str(error))
        principals, all_judged = await self._principals(request)
        # If the store is away, the broker stores the revocation later. Then the session has ended as well.
        with suppress(Unavailable):
            await self._revoker.revoke_tokens(principals)
        response = _no_content() if all_judged else _try_again(_NOT_REVOKED)
        self._expire(response, self._domains(request))
        return response

    async def _principals(self, request: Request) -> tuple[list[Principal], bool]:
        """Return the Principals of the request's valid tokens, and whether all tokens could be judged."""
        tokens = {fingerprint(token): token for token in self._tokens(request)}
        if self._verifier is None or not tokens:
            return [], True
        await self._pacer.wait()
        opened = self._revoker.opened_with(tokens)
        principals = list(opened.values())
        others = sorted((tokens[each] for each in tokens.keys() - opened.keys()), key=len, reverse=True)
        for token in others[:MAX_TRIED_TOKENS]:
            if len(principals) >= MAX_REVOKED_TOKENS:
                break
            await self._pacer.wait()
            try:
                principals.append(await self._verifier.verify(token))
            except (InvalidToken, Forbidden):
                continue
            except Overloaded:
                # Each further token could wait for seconds, too.
                return principals, False
        return principals[:MAX_REVOKED_TOKENS], True

    def _tokens(self, request: Request) -> list[str]:
        """List the cookies' values and the bearer token, if they have the form of a token."""
        values = cookie_values(request, self._cookie_name)
        with suppress(InvalidToken):
            if (token := bearer_token(request)) is not None:
                values.add(token)
        return [value for value in values if value.count(".") == 2 and all(value.split("."))]

    def _domains(self, request: Request) -> list[str | None]:
        """List the domains of cookies that a browser sends to this host. None stands for the host-only cookie.

        SSE_COOKIE_DOMAIN may have had another value when a cookie was set. Browsers ignore a Set-Cookie whose domain
        does not match the host or is a public suffix such as ``co.uk``.
        """
        found: list[str | None] = [None, self._domain, *_domains_of(request.headers.get("host", ""))]
        return list(dict.fromkeys(found))

    def _expire(self, response: Response, domains: list[str | None]) -> None:
        for domain in domains:
            self._set(response, "", max_age=0, domain=domain)

    def _set(self, response: Response, value: str, *, max_age: int, domain: str | None) -> None:
        response.set_cookie(
            self._cookie_name,
            value,
            max_age=max_age,
            domain=domain,
            secure=self._secure,
            httponly=True,
            samesite=self._same_site,
        )


def _is_inside(domain: str, host: str) -> bool:
    """Whether a browser accepts the domain from this host (RFC 6265 section 5.1.3). A port does not count.

    A host with a dot at its end is outside: Chromium drops its cookie.
    """
    name = _name_of(host)
    # A part of an IPv4 address is no domain.
    return name == domain or (name.endswith(f".{domain}") and not name[-1].isdigit())


def _name_of(host: str) -> str:
    """Return the name in a Host header, in lower case. Empty if it has no dot inside, or is not a name."""
    match = _HOST.fullmatch(host) if len(host) <= MAX_HOST_LENGTH else None
    return match[1].lower() if match else ""


def _domains_of(host: str) -> list[str]:
    """List a host's name and its parent domains, down to two labels. An IP address has none."""
    name = _name_of(host)
    labels = name.split(".") if name else []
    # A name whose last label is a number is an IPv4 address (URL Standard).
    if not labels or labels[-1].isdigit():
        return []
    return [".".join(labels[start:]) for start in range(len(labels) - 1)][-MAX_DOMAINS:]


def _try_again(detail: str) -> Response:
    retry_after = str(random.randint(1, 10))  # noqa: S311  spreads load
    return problem(503, detail, headers={"Retry-After": retry_after})


def _no_content() -> Response:
    return Response(status_code=204, headers={"Cache-Control": "no-store"})
