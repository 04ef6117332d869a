"""What a token says about itself. Nobody has verified it, so it is shown and never trusted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from jwt.utils import base64url_decode

from sse_service.model.text import printable

MAX_CHARACTERS = 65_536
"""Limit of what is read of a token. ``serve`` accepts 16 KiB of headers."""

MAX_SHOWN = 200
"""Limit of what is shown of one claim."""

_QUOTES = "\"'`"

_BEFORE_A_TOKEN = re.compile(r"(?:authorization:\s*)?bearer\s+|(?:cookie:\s*)?[\w-]+=(?=eyJ)", re.IGNORECASE)
"""The start of an ``Authorization`` header, or of a cookie. ``eyJ`` is how a token begins: ``{"`` in Base64."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The header and the claims of a token. Both are empty if they cannot be read."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    problem: str = ""
    """Why the text is no signed token; empty if it looks like one."""
    opaque: bool = False
    """Whether only its issuer can read it."""


def pasted(text: str) -> str:
    """Drop what people paste with a token: white space around it, and the header's or the cookie's name before it."""
    text = text.strip()
    return text[match.end() :] if (match := _BEFORE_A_TOKEN.match(text)) else text


def read(token: str) -> Claimed:
    """Read a token without verifying it. Quotes and white space inside are a problem, and skipped to read on."""
    if len(token) > MAX_CHARACTERS:
        return Claimed({}, {}, f"it has more than {MAX_CHARACTERS} characters, and a request holds 16 KiB of headers")
    bare = "".join(char for char in pasted(token.strip(_QUOTES)) if not char.isspace() and char not in _QUOTES)
    parts = bare.split(".")
    if len(parts) in (1, 5):
        what = "it is no JWT" if len(parts) == 1 else "it has 5 parts between dots, as encrypted tokens (JWE) have"
        return Claimed({}, {}, what, opaque=True)
    if len(parts) != 3:
        return Claimed({}, {}, f"it has {len(parts)} parts between dots, and a signed token has 3: was it cut?")
    header, claims = _object(parts[0]), _object(parts[1])
    problem = ""
    if bare != token:
        problem = "it has quotes or white space in it: send the token alone, in one line"
    elif header is None or claims is None:
        problem = f"its {'header' if header is None else 'payload'} is not JSON in Base64: was it cut, or changed?"
    return Claimed(header or {}, claims or {}, problem)


def is_shared_secret(token: Claimed) -> bool:
    """Whether the token says that it is signed with a shared secret, and not with a provider's key."""
    return algorithm(token).startswith("HS")


def algorithm(token: Claimed) -> str:
    """Return the algorithm that the token names. Empty if that is no text."""
    named = token.header.get("alg")
    return named if isinstance(named, str) else ""


def shown(value: object) -> str:
    """Return a value from outside as a text that cannot control the terminal, of at most ``MAX_SHOWN`` characters."""
    if isinstance(value, list):
        text = ", ".join(_scalar(each) for each in value[:MAX_SHOWN]) or "an empty list"
    else:
        text = _scalar(value)
    text = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
    return printable(text)


def _scalar(value: object) -> str:
    # str() of a value that is nested deeply raises RecursionError.
    if isinstance(value, dict | list):
        return "(an object)" if isinstance(value, dict) else "(a list)"
    return "none" if value is None else str(value) or "(empty)"


def _object(segment: str) -> Mapping[str, Any] | None:
    """Return the JSON object of a part of the token; None if it has none."""
    try:
        value = orjson.loads(base64url_decode(segment))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
