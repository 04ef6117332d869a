"""The authenticated user behind a request."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated user."""

    user: str
    groups: tuple[str, ...]
    expires: int
    """When the credential expires, in seconds since 1970. Streams that were opened with it end then."""
    issued: float | None = None
    """When the credential was issued, in seconds since 1970; None if it does not say. Revocation compares it."""
    credential: bytes = b""
    """A digest that identifies the credential, and from which it cannot be computed; empty if it has none."""
    fingerprint: bytes = field(default=b"", compare=False)
    """A digest of a whole token, with its signature; empty for other credentials. Whoever sends a token with this
    fingerprint has the token that was verified. The same ``credential`` does not prove it, because what a token says
    may be guessed."""
    renewable: bool = False
    """Whether the same credential may be accepted after ``expires``. A token is refused then."""
