"""The Lua scripts that run in the server, each as one atomic step."""

from __future__ import annotations

import hashlib
import secrets
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from sse_service.brokers.valkey.requirements import NO_PERMISSION, lacks_permission
from sse_service.model.errors import Unavailable

if TYPE_CHECKING:
    from sse_service.brokers.valkey.pipeline import Pipeline

# All keys have the same hash tag, so they are in one slot of a cluster or proxy.
KEYS = ("{sse}:book", "{sse}:channels", "{sse}:seen", "{sse}:seen:old", "{sse}:history:")
"""The metadata, the index of channels, the two generations of dedupe keys, and the prefix of the histories.

The key of a history is the prefix plus the channel, so no channel can form one of the other keys."""

REVOCATION_KEYS = ("{sse}:revoked", "{sse}:revoked:order")
"""The revocations, and the order of their changes."""

REVOCATIONS = "revocations"
"""The name of the only script that does not open the metadata of the events."""


class Script:
    """One script, with the code that all scripts for events share before it."""

    def __init__(self, name: str) -> None:
        self._source = source(name)
        self._keys = REVOCATION_KEYS if name == REVOCATIONS else KEYS
        self._sha = hashlib.sha1(self._source, usedforsecurity=False).hexdigest()

    async def __call__(self, pipeline: Pipeline, run_id: str, *arguments: str | bytes | int) -> list[Any]:
        """Run the script on the server with this ``run_id``. Raises Unavailable."""
        rest = (len(self._keys), *self._keys, run_id, secrets.token_hex(4), *arguments)
        try:
            try:
                answer: list[Any] = await pipeline.call("EVALSHA", self._sha, *rest)
            except NoScriptError:
                answer = await pipeline.call("EVAL", self._source, *rest)
        except OutOfMemoryError:
            raise Unavailable("the server is out of memory") from None
        except ResponseError as error:
            if lacks_permission(error):
                raise Unavailable(NO_PERMISSION) from error
            raise Unavailable(str(error)) from None
        return answer


def source(name: str) -> bytes:
    """Return a script's source: its first line with the flags, the shared code, and the rest.

    The script for revocations stands alone: it has its own keys, and must work whatever happens to the events.
    """
    folder = files("sse_service.brokers.valkey")
    if name == REVOCATIONS:
        return folder.joinpath(f"{name}.lua").read_bytes()
    flags, _, body = folder.joinpath(f"{name}.lua").read_bytes().partition(b"\n")
    return b"\n".join((flags, folder.joinpath("metadata.lua").read_bytes(), body))
