"""Where the user's token comes from: the command line, stdin, or the secret that signs tokens."""

from __future__ import annotations

import re
import sys
from functools import partial
from typing import TYPE_CHECKING

from sse_service.identity import signer_of
from sse_service.model.errors import InvalidSettings, InvalidToken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sse_service.settings.settings import Settings

TTL_SECONDS = 3600

_TOKEN = re.compile(r"[\x21-\x7e]+")


def token_source(
    given: str | None, settings: Settings, *, user: str | None, groups: Sequence[str]
) -> Callable[[], str]:
    """Return what gives a token for each connection: always the given one, or a new one for the user.

    ``-`` stands for the first line of stdin. Raises InvalidToken for what cannot be one, and InvalidSettings if
    there is no secret.
    """
    if given is None:
        if not settings.jwt_secret:
            raise InvalidSettings(
                "SSE_JWT_SECRET: must be set to sign a token for --user. Otherwise give one with --token"
            )
        return partial(signer_of(settings).sign, user or "", groups=groups, ttl_seconds=TTL_SECONDS)
    # Commands such as curl's show a token with the scheme of its header.
    token = (sys.stdin.readline() if given == "-" else given).strip().removeprefix("Bearer ")
    if not _TOKEN.fullmatch(token):
        # It would not fit into a header.
        raise InvalidToken("there is no token, or it has a blank or another character that no token has")
    return lambda: token
