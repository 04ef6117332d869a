"""What an authorizer is told of a request, and which pages may make one."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from sse_service.auth.origin import SAFE_METHODS, check_origin
from sse_service.auth.tokens.verifier import CREDENTIAL_BYTES
from sse_service.model.errors import InvalidToken
from sse_service.model.values import value

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.requests import HTTPConnection

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What no header may contain (RFC 9110 section 5.5)."""


@value
class Credentials:
    """A request's ``Cookie`` and ``Authorization`` headers. One that is missing is empty."""

    cookie: str
    authorization: str

    @property
    def digest(self) -> bytes:
        """What identifies the two headers.

        Each has its length before it. Otherwise the same bytes, divided in another place, would be another user's.
        """
        found = hashlib.blake2b(digest_size=CREDENTIAL_BYTES)
        for text in (self.cookie, self.authorization):
            raw = text.encode()
            found.update(len(raw).to_bytes(8, "big") + raw)
        return found.digest()


def credentials_of(request: HTTPConnection) -> Credentials | None:
    """Return the request's credentials; None if it has neither header.

    Raises InvalidToken for two ``Authorization`` headers, because it is unclear which one counts.
    """
    headers = request.scope["headers"]
    cookies = [value for name, value in headers if name == b"cookie"]
    authorizations = [value for name, value in headers if name == b"authorization"]
    if len(authorizations) > 1:
        raise InvalidToken("the request has more than one Authorization header: send one")
    # HTTP/2 may split the field, and this is how it is joined again (RFC 9113 section 8.2.3).
    pairs = b"; ".join(cookies).split(b";")
    # Only UTF-8 can be passed on. Another application may have set a cookie that is not, and it identifies nobody here.
    cookie = ";".join(text for text in map(_text, pairs) if text is not None).strip()
    authorization = _text(authorizations[0]) if authorizations else ""
    if authorization is None:
        raise InvalidToken("the Authorization header must be UTF-8 without control characters")
    return Credentials(cookie, authorization) if cookie or authorization else None


def check_page(request: HTTPConnection, *, allowed: Collection[str]) -> None:
    """Raise Forbidden if the page that made the request may not use the user's credentials.

    A browser adds cookies and the password of ``Authorization: Basic`` by itself, whichever page makes the request. A
    WebSocket's handshake without a cookie and without ``Origin`` is not a browser's.
    """
    with_cookie = any(name == b"cookie" for name, _ in request.scope["headers"])
    safe = request.scope.get("method") in SAFE_METHODS or not with_cookie
    check_origin(request, allowed=allowed, safe=safe)


def _text(raw: bytes) -> str | None:
    """Decode a part of a header; None if it cannot be passed on."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text
