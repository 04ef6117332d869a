"""Authenticate by the operator's own code (``SSE_AUTHORIZER=module:callable``)."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, cast

from starlette.requests import HTTPConnection

from sse_service.auth.authorizer.answer import NOT_ALLOWED, NOT_SIGNED_IN, AuthorizerFailure, principal_of
from sse_service.auth.authorizer.calls import AuthorizerCalls
from sse_service.auth.authorizer.credentials import check_page, credentials_of
from sse_service.model.errors import Forbidden, InvalidSettings, InvalidToken, Overloaded
from sse_service.model.reasons import RefusalReason

if TYPE_CHECKING:
    from collections.abc import Collection

    from sse_service.model.principal import Principal
    from sse_service.telemetry.metrics import Metrics

Authorize = Callable[[HTTPConnection], Awaitable[Mapping[str, object] | None]]
"""Returns what an authorizer's URL answers with a 200, or None if the request is not signed in. May raise InvalidToken
and Forbidden."""


class CallableAuthorizer:
    """Calls a coroutine function for each request that no other way has decided.

    It may look at any part of the request, so it is asked even if there is no ``Cookie`` or ``Authorization``. Nothing
    is remembered: the code knows better what it may remember.
    """

    def __init__(
        self,
        authorize: Authorize,
        *,
        metrics: Metrics,
        allowed_origins: Collection[str] = (),
        still_good: Callable[[Principal], bool] = lambda _: True,
    ) -> None:
        """``still_good`` is asked about each answer before it is used."""
        self._authorize = authorize
        self._still_good = still_good
        self._allowed_origins = frozenset(allowed_origins)
        self._calls = AuthorizerCalls(metrics=metrics)

    @property
    def trouble(self) -> str | None:
        """Why the code does not answer now; None if it does."""
        return self._calls.trouble

    async def authenticate(self, request: HTTPConnection) -> Principal | None:
        """Implement ``Authenticator``."""
        credentials = credentials_of(request)
        check_page(request, allowed=self._allowed_origins)
        digest = credentials.digest if credentials else b""
        principal = await self._calls.run(partial(self._ask, request, digest))
        if not self._still_good(principal):
            # The user was revoked in this very second. The next answer counts as newer.
            raise Overloaded(RefusalReason.IDENTITY)
        return principal

    async def _ask(self, request: HTTPConnection, credential: bytes) -> Principal:
        issued = time.time()
        try:
            answer = await self._authorize(request)
            if answer is None:
                raise InvalidToken(NOT_SIGNED_IN)
            return principal_of(answer, issued=issued, credential=credential)
        except InvalidToken as error:
            raise InvalidToken(str(error) or NOT_SIGNED_IN) from None
        except Forbidden as error:
            raise Forbidden(str(error) or NOT_ALLOWED) from None
        except AuthorizerFailure:
            raise
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            # A task of the code's own was cancelled. Passed on, this would end the request without an answer.
            raise AuthorizerFailure("failed with CancelledError", "a task for which it waits was cancelled") from None
        except GeneratorExit:
            # The event loop has ended, and nobody waits for an answer.
            raise
        # The code may raise anything. Passed on, the SystemExit of sys.exit() would end the service.
        except BaseException as error:
            raise AuthorizerFailure(f"failed with {type(error).__name__}", error=error) from None


def import_authorizer(name: str) -> Authorize:
    """Import ``module:callable`` from ``PYTHONPATH``, the installed packages or the working directory.

    Raises InvalidSettings.
    """
    module_name, _, path = name.partition(":")
    # At the end, so that no file of the working directory hides a package of the service.
    if (directory := os.getcwd()) not in sys.path:
        sys.path.append(directory)
    try:
        found = attrgetter(path)(importlib.import_module(module_name))
    # A module may raise anything while it is imported, and may even call sys.exit().
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InvalidSettings(f"SSE_AUTHORIZER: cannot import {name}: {reason}") from None
    if not inspect.iscoroutinefunction(found) and not inspect.iscoroutinefunction(type(found).__call__):
        raise InvalidSettings(f"SSE_AUTHORIZER: {name} must be a coroutine function: async def {path}(connection)")
    try:
        inspect.signature(found).bind(None)
    except TypeError:
        raise InvalidSettings(f"SSE_AUTHORIZER: {name} must take one argument, the connection") from None
    return cast("Authorize", found)
