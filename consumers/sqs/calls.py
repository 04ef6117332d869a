"""Calls to SQS on one shared client, which is made anew when its credentials are no good any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, TypeVar

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from consumers.errors import CallFailed, MalformedAnswer
from consumers.sqs.backoff import backoff
from consumers.sqs.fast.client import shortened
from consumers.sqs.responses import judge, label

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from consumers.base import Observer

FAULTS = (ClientError, BotoCoreError, aiohttp.ClientError, OSError, TimeoutError)
"""What a call to SQS may raise."""

REFUSED = frozenset(
    {
        *("AuthFailure", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId"),
        *("InvalidSecurity", "InvalidSecurityToken", "InvalidSignatureException", "MissingAuthenticationToken"),
        *("RequestExpired", "SignatureDoesNotMatch", "TokenRefreshRequired", "UnrecognizedClientException"),
        *("CredentialRetrievalError", "LoginRefreshRequired", "LoginTokenLoadError", "MetadataRetrievalError"),
        *("NoAuthTokenError", "NoCredentialsError", "PartialCredentialsError", "SSOTokenLoadError"),
        *("TokenRetrievalError", "UnauthorizedSSOTokenError"),
    }
)
"""Codes and classes that new credentials can help: AWS's common errors, and what botocore raises when it finds none."""

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class SQSCalls:
    """One client for all who call; ``run`` keeps it, and must run while anybody calls."""

    def __init__(
        self,
        *,
        connect: Callable[[], AbstractAsyncContextManager[SQSClient]],
        observer: Observer,
        retry_seconds: float,
    ) -> None:
        """``connect`` must make a new session each time: a session keeps the credentials it once found."""
        self._connect = connect
        self._observer = observer
        self._retry = retry_seconds
        self._life = _Life()

    async def run(self) -> None:
        """Make clients, one after the other, until cancelled; each is closed when its last call has ended."""
        failures = 0
        async with asyncio.TaskGroup() as lives:
            while True:
                life = self._life
                lives.create_task(self._live(life))
                await life.over.wait()
                failures = 1 if life.proved else failures + 1
                await asyncio.sleep(backoff(failures, self._retry))
                self._life = _Life()
                life.replace()

    async def call(self, operation: str, send: Callable[[SQSClient], Awaitable[_Answer]]) -> _Answer:
        """Do what ``send`` does with the client.

        Raises CallFailed, counted and logged, for every fault of SQS, of the way there and of the credentials, and for
        the MalformedAnswer that ``send`` may raise.
        """
        life = self._life
        life.enter()
        try:
            answer = await send(await life.client())
        except (*FAULTS, MalformedAnswer) as error:
            code = _code(error)
            if code in REFUSED:
                life.over.set()
            raise self._failed(operation, code) from error
        except RuntimeError as error:
            # botocore's way to say that refreshed credentials had expired already.
            life.over.set()
            raise self._failed(operation, "RuntimeError") from error
        finally:
            life.leave()
        life.proved = True
        return answer

    def _failed(self, operation: str, code: str) -> CallFailed:
        self._observer.failed(operation, code)
        _log.warning("%s failed: %s", operation, code)
        return CallFailed(code)

    async def _live(self, life: _Life) -> None:
        try:
            async with self._connect() as client:
                client.meta.events.register("before-parse.sqs", judge)
                with shortened(client) as short:
                    life.begin(short)
                    await life.ended.wait()
        except FAULTS as error:
            life.fail(error)


class _Life:
    """One client, from its making to the end of its last call."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        """It must be replaced."""
        self.ended = asyncio.Event()
        """It is replaced, and nobody uses it: closing a client cuts the polls that are open on it."""
        self.proved = False
        """A call succeeded."""
        self._made = asyncio.Event()
        self._client: SQSClient | None = None
        self._fault: Exception = ConnectionError("no client")
        self._calls = 0
        self._replaced = False

    async def client(self) -> SQSClient:
        """Wait for the client; raises the fault for which there is none."""
        await self._made.wait()
        if self._client is None:
            raise self._fault
        return self._client

    def begin(self, client: SQSClient) -> None:
        self._client = client
        self._made.set()

    def fail(self, fault: Exception) -> None:
        self._fault = fault
        self._made.set()
        self.over.set()

    def enter(self) -> None:
        self._calls += 1

    def leave(self) -> None:
        self._calls -= 1
        self._end()

    def replace(self) -> None:
        self._replaced = True
        self._end()

    def _end(self) -> None:
        if self._replaced and not self._calls:
            self.ended.set()


def _code(error: Exception) -> str:
    """A fault's code or class; its text may quote a request."""
    if isinstance(error, ClientError):
        return label(error.response.get("Error", {}).get("Code"))
    return type(error).__name__
