"""Accepts the tokens that nearly everyone sends, in a fifth of PyJWT's time, and leaves all others to PyJWT.

It is safe as it can only accept: where anything is unusual it has no opinion, and no token is refused here. What it
does accept has the one signature, encoding and form of claims that PyJWT takes without a doubt; the tests hold both to
the same verdict over every way in which a token may be odd.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Sequence
from typing import Any

from jwt.utils import base64url_decode, base64url_encode

_HEADERS = frozenset(
    base64url_encode(header).decode()
    for header in (
        b'{"alg":"HS256","typ":"JWT"}',
        b'{"typ":"JWT","alg":"HS256"}',
        b'{"alg":"HS256"}',
    )
)
"""As the common libraries write them. Compared whole: another algorithm, a ``crit``, or a ``kid`` is none of them."""


class ShortWay:
    """Verifies HS256."""

    def __init__(self, *, secrets: Sequence[str], issuer: str | None, audience: str | None) -> None:
        """The secrets are known to be such as PyJWT takes."""
        # Copied for each token, which takes two thirds of the time of beginning with the key.
        self._begun = tuple(hmac.new(secret.encode(), digestmod="sha256") for secret in secrets)
        self._issuer = issuer
        self._audience = audience

    def claims(self, token: str) -> dict[str, Any] | None:
        """Give the claims of a token that holds; None says nothing of it."""
        header, _, rest = token.partition(".")
        payload, _, signature = rest.partition(".")
        if header not in _HEADERS:
            return None
        try:
            if not self._signed(f"{header}.{payload}".encode("ascii"), signature.encode("ascii")):
                return None
            text = base64url_decode(payload)
            # The decoder skips what is no base64url, and takes bits that say nothing.
            claims = json.loads(text.decode()) if base64url_encode(text).decode() == payload else None
        except (ValueError, RecursionError):
            return None
        return claims if isinstance(claims, dict) and self._hold(claims) else None

    def _signed(self, signed: bytes, signature: bytes) -> bool:
        for begun in self._begun:
            made = begun.copy()
            made.update(signed)
            # In constant time: how much of a guess was right must not show.
            if hmac.compare_digest(base64url_encode(made.digest()), signature):
                return True
        return False

    def _hold(self, claims: dict[str, Any]) -> bool:
        """Look at all claims that PyJWT looks at; of two forms that it takes, the simpler one."""
        now, audience = time.time(), claims.get("aud")
        expires, begins = claims.get("exp"), claims.get("nbf", 0)
        return (
            # ``True`` is an int
            type(expires) is int
            and type(begins) is int
            and begins <= now < expires
            and audience == self._audience != ""
            and (self._issuer is None or claims.get("iss") == self._issuer)
            and isinstance(claims.get("jti", ""), str)
        )
