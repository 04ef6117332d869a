"""Make tokens, good ones and such as no library would make."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.identity.keys import SigningKey

AUDIENCE = "push"


def b64(data: bytes | str) -> str:
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).decode().rstrip("=")


def claims_of(issuer: str, user: str = "42", *, seconds: int = 600, **changes: Any) -> dict[str, Any]:
    """Return the claims of a good access token, with changes. A change to None removes a claim."""
    now = int(time.time())
    claims = {"iss": issuer, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + seconds, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def assemble(
    header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes, sign: Callable[[bytes], bytes]
) -> str:
    """Make a token of any header and any payload."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signed = ".".join(map(b64, parts))
    return f"{signed}.{b64(sign(signed.encode()))}"


def token(key: SigningKey, claims: Mapping[str, Any], **header: Any) -> str:
    """Make a token that a key signed. The keyword arguments change its header."""
    return assemble({"alg": key.algorithm, "kid": key.kid, "typ": "JWT", **header}, claims, key.sign)


def signature_of(text: str) -> bytes:
    encoded = text.rpartition(".")[2]
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


def with_signature(text: str, signature: bytes) -> str:
    """Replace a token's signature."""
    return f"{text.rpartition('.')[0]}.{b64(signature)}"
