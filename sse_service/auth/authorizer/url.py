"""Authenticate by asking one's own back end who sent a request (``SSE_AUTHORIZER_URL``)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from sse_service.auth.authorizer.calls import AuthorizerCalls
from sse_service.auth.authorizer.credentials import check_page, credentials_of
from sse_service.auth.authorizer.memory import AuthorizerMemory
from sse_service.auth.authorizer.request import ask, open_session
from sse_service.model.errors import Forbidden, InvalidToken, Overloaded, ServiceError
from sse_service.model.principal import Principal
from sse_service.model.reasons import RefusalReason

if TYPE_CHECKING:
    from collections.abc import Collection

    import aiohttp
    from starlette.requests import HTTPConnection

    from sse_service.auth.authorizer.credentials import Credentials
    from sse_service.telemetry.metrics import Metrics

_Outcome = Principal | Callable[[], ServiceError]
"""A user, or what makes the exception. Each request raises its own: one that is raised again and again would collect
the tracebacks of all of them."""


class URLAuthorizer:
    """Asks the back end once for each credential, and uses the answer for everybody who sends it within a minute.

    The back end gets the request's ``Cookie`` and ``Authorization`` headers, and nothing else of the client's.
    """

    def __init__(
        self,
        url: str,
        *,
        metrics: Metrics,
        allowed_origins: Collection[str] = (),
        still_good: Callable[[Principal], bool] = lambda _: True,
    ) -> None:
        """``still_good`` is asked about each answer before it is used. If it says no, the back end is asked again."""
        self._url = url
        self._metrics = metrics
        self._allowed_origins = frozenset(allowed_origins)
        self._still_good = still_good
        self._calls = AuthorizerCalls(metrics=metrics)
        self._memory = AuthorizerMemory()
        # Calls that are under way, by the credential's digest. They are not part of the requests that wait for them:
        # a client that leaves must not end the call for the others.
        self._under_way: dict[bytes, asyncio.Task[_Outcome]] = {}
        self._start: Callable[[bytes, Credentials], asyncio.Task[_Outcome]] | None = None

    @property
    def trouble(self) -> str | None:
        """Why the back end does not answer now; None if it does."""
        return self._calls.trouble

    async def run(self) -> None:
        """Keep the connections to the back end until cancelled. Before it runs, nobody can be identified."""
        async with open_session() as session, asyncio.TaskGroup() as tasks:
            self._start = lambda digest, credentials: tasks.create_task(self._call(session, digest, credentials))
            try:
                await asyncio.Event().wait()
            finally:
                self._start = None

    async def authenticate(self, request: HTTPConnection) -> Principal | None:
        """Implement ``Authenticator``."""
        credentials = credentials_of(request)
        if credentials is None:
            return None
        check_page(request, allowed=self._allowed_origins)
        digest = credentials.digest
        principal = self._memory.get(digest)
        if principal is not None and self._still_good(principal):
            self._metrics.authorizer_answers.labels("remembered").inc()
            return principal
        # Twice, because a call that is under way may have begun before the user was revoked.
        for _ in range(2):
            principal = await self._ask(digest, credentials)
            if self._still_good(principal):
                return principal
        # Revocations have whole seconds, so an answer of the same second counts as older. The next one does not.
        raise Overloaded(RefusalReason.IDENTITY)

    async def _ask(self, digest: bytes, credentials: Credentials) -> Principal:
        """Make a call, or wait for the one that is under way for the same credential."""
        call = self._under_way.get(digest)
        if call is None:
            if self._start is None:
                raise Overloaded(RefusalReason.IDENTITY)
            call = self._under_way[digest] = self._start(digest, credentials)
            call.add_done_callback(lambda _: self._under_way.pop(digest))
        # Unlike await, this does not cancel the call if the request is cancelled.
        await asyncio.wait([call])
        if call.cancelled():
            raise Overloaded(RefusalReason.IDENTITY)
        outcome = call.result()
        if isinstance(outcome, Principal):
            return outcome
        raise outcome()

    async def _call(self, session: aiohttp.ClientSession, digest: bytes, credentials: Credentials) -> _Outcome:
        self._memory.forget(digest)
        try:
            principal = await self._calls.run(partial(ask, session, self._url, credentials))
        except (InvalidToken, Forbidden, Overloaded) as error:
            return partial(type(error), *error.args)
        self._memory.put(digest, principal, seconds=principal.expires - time.time())
        return principal
