"""The SQS client that all parts of a consumer share. It is replaced when its credentials are refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from consumers.errors import CallFailed, MalformedAnswer
from consumers.sqs.backoff import backoff
from consumers.sqs.failures import AWS_ERRORS, CREDENTIAL_CODES, explain
from consumers.sqs.fast.fast_client import fast_client
from consumers.sqs.responses import as_label, parse_response

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from consumers.base import Observer
    from consumers.sqs.fast.status import FastPathStatus

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class SharedClient:
    """Makes calls with one client at a time. ``run`` owns the client and must be running while calls are made."""

    def __init__(
        self,
        *,
        connect: Callable[[], AbstractAsyncContextManager[SQSClient]],
        observer: Observer,
        retry_seconds: float,
        fast_path: FastPathStatus,
        queue_setting: str,
    ) -> None:
        """``connect`` must make a new session each time: a session keeps the credentials that it found first."""
        self._connect = connect
        self._observer = observer
        self._retry = retry_seconds
        self._fast_path = fast_path
        self._queue_setting = queue_setting
        self._current = _Generation()
        # Operation -> the code of its last failure and how often it has failed, until it succeeds.
        self._failing: dict[str, tuple[str, int]] = {}

    async def run(self) -> None:
        """Make clients, one after the other, until cancelled. Each is closed after its last call has ended."""
        failures = 0
        async with asyncio.TaskGroup() as generations:
            while True:
                generation = self._current
                generations.create_task(self._keep_open(generation))
                await generation.must_be_replaced.wait()
                failures = 1 if generation.has_worked else failures + 1
                await asyncio.sleep(backoff(failures, self._retry))
                self._current = _Generation()
                generation.retire()

    async def call(self, operation: str, send: Callable[[SQSClient], Awaitable[_Answer]]) -> _Answer:
        """Await ``send`` with the client.

        Raises CallFailed, counted and logged, for every failure of SQS, of the network and of the credentials, and for
        the MalformedAnswer that ``send`` may raise.
        """
        generation = self._current
        generation.begin_call()
        try:
            answer = await send(await generation.client())
        except (*AWS_ERRORS, MalformedAnswer, RuntimeError) as error:
            code = _code(error)
            # botocore raises a plain RuntimeError when refreshed credentials have already expired.
            if code in CREDENTIAL_CODES or isinstance(error, RuntimeError):
                generation.must_be_replaced.set()
            raise self._failed(operation, code) from error
        finally:
            generation.end_call()
        generation.has_worked = True
        if self._failing and (failed := self._failing.pop(operation, None)):
            _log.info("SQS %s calls work again after %d failures", operation, failed[1])
        return answer

    def _failed(self, operation: str, code: str) -> CallFailed:
        """Count a failure, and log it unless the one before it was the same: an outage is one line, not thousands."""
        self._observer.failed(operation, code)
        last, count = self._failing.get(operation, (None, 0))
        self._failing[operation] = code, count + 1
        trouble, remedy = explain(code, queue_setting=self._queue_setting)
        level = logging.DEBUG if last == code else logging.WARNING
        _log.log(level, "SQS %s call failed (%s): %s; %s", operation, code, trouble, remedy)
        return CallFailed(code)

    async def _keep_open(self, generation: _Generation) -> None:
        try:
            async with self._connect() as client:
                client.meta.events.register("before-parse.sqs", parse_response)
                with fast_client(client, status=self._fast_path) as fast:
                    generation.opened(fast)
                    await generation.unused.wait()
        except AWS_ERRORS as error:
            generation.failed(error)


class _Generation:
    """One client, from when it is made until its last call has ended."""

    def __init__(self) -> None:
        self.must_be_replaced = asyncio.Event()
        self.unused = asyncio.Event()
        """Set when it is retired and no call is in progress: closing a client cuts the polls that are open on it."""
        self.has_worked = False
        """A call succeeded."""
        self._decided = asyncio.Event()
        self._client: SQSClient | None = None
        self._fault: Exception = ConnectionError("no client")
        self._calls = 0
        self._retired = False

    async def client(self) -> SQSClient:
        """Wait for the client. Raises the fault that kept it from being made."""
        await self._decided.wait()
        if self._client is None:
            raise self._fault
        return self._client

    def opened(self, client: SQSClient) -> None:
        self._client = client
        self._decided.set()

    def failed(self, fault: Exception) -> None:
        self._fault = fault
        self._decided.set()
        self.must_be_replaced.set()

    def begin_call(self) -> None:
        self._calls += 1

    def end_call(self) -> None:
        self._calls -= 1
        self._check_unused()

    def retire(self) -> None:
        self._retired = True
        self._check_unused()

    def _check_unused(self) -> None:
        if self._retired and not self._calls:
            self.unused.set()


def _code(error: Exception) -> str:
    """Return AWS's error code or the exception's class; the error's text may quote the request."""
    if isinstance(error, ClientError):
        return as_label(error.response.get("Error", {}).get("Code"))
    return type(error).__name__
