"""The scripts that run in the server, each as one atomic step."""

from __future__ import annotations

import hashlib
import secrets
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from sse_service.model.errors import Unavailable

if TYPE_CHECKING:
    from sse_service.brokers.valkey.link import Link

# One hash tag, so that all keys are in one slot wherever they are kept.
KEYS = ("{sse}:book", "{sse}:channels", "{sse}:seen", "{sse}:seen:old", "{sse}:history:")
"""The last is a prefix: behind it stands a channel's name to its end, so no name can be another key."""


class Script:
    """One script, with the prelude that opens the book."""

    def __init__(self, name: str) -> None:
        self._source = source(name)
        self._sha = hashlib.sha1(self._source, usedforsecurity=False).hexdigest()

    async def __call__(self, link: Link, run_id: str, *arguments: str | bytes | int) -> list[Any]:
        """Run it on the server whose run id that is; raises Unavailable."""
        rest = (len(KEYS), *KEYS, run_id, secrets.token_hex(4), *arguments)
        try:
            try:
                answer: list[Any] = await link.call("EVALSHA", self._sha, *rest)
            except NoScriptError:
                answer = await link.call("EVAL", self._source, *rest)
        except OutOfMemoryError:
            raise Unavailable("the server is out of memory") from None
        except ResponseError as error:
            raise Unavailable(str(error)) from None
        return answer


def source(name: str) -> bytes:
    """A script's text: its first line, which holds its flags, then the prelude, then the rest."""
    folder = files("sse_service.brokers.valkey")
    flags, _, body = folder.joinpath(f"{name}.lua").read_bytes().partition(b"\n")
    return b"\n".join((flags, folder.joinpath("book.lua").read_bytes(), body))
