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
from consumers.sqs.failures import AWS_ERRORS, CREDENTIAL_CODES, PARSER_ERRORS, explain
from consumers.sqs.fast.fast_client import fast_client
from consumers.sqs.responses import as_label, parse_response

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from consumers.base import Observer
    from consumers.sqs.fast.status import FastPathStatus

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class SharedClient:
    """Makes all calls with the current client. ``run`` owns the client, and must be running while calls are made."""

    def __init__(
        self,
        *,
        connect: Callable[[], AbstractAsyncContextManager[SQSClient]],
        observer: Observer,
        retry_seconds: float,
        fast_path: FastPathStatus,
        queue_setting: str,
    ) -> None:
        """``connect`` must use a new session each time: a session keeps the first credentials that it finds."""
        self._connect = connect
        self._observer = observer
        self._retry = retry_seconds
        self._fast_path = fast_path
        self._queue_setting = queue_setting
        self._current = _Generation()
        # Operation -> the code of its last failure, and the number of failures since its last success.
        self._failing: dict[str, tuple[str, int]] = {}

    async def run(self) -> None:
        """Open one client after the other until cancelled. Each is closed after its last call has ended."""
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

        Raises CallFailed for every failure of SQS, the network or the credentials, and if ``send`` raises
        MalformedAnswer. The failure is already counted and logged.
        """
        generation = self._current
        generation.begin_call()
        try:
            answer = await send(await generation.client())
        except (*AWS_ERRORS, *PARSER_ERRORS, MalformedAnswer, RuntimeError) as error:
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
        """Count a failure, and log a warning only if its code is new: an outage is one line, not thousands."""
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
        except (*AWS_ERRORS, *PARSER_ERRORS) as error:
            generation.failed(error)


class _Generation:
    """One client, from its creation until its last call has ended."""

    def __init__(self) -> None:
        self.must_be_replaced = asyncio.Event()
        self.unused = asyncio.Event()
        """Set when the client is retired and has no call in progress: closing it would abort its open polls."""
        self.has_worked = False
        """Whether a call has succeeded."""
        self._opened_or_failed = asyncio.Event()
        self._client: SQSClient | None = None
        self._error: Exception = ConnectionError("no client")
        self._calls = 0
        self._retired = False

    async def client(self) -> SQSClient:
        """Wait for the client. Raises the error if it could not be opened."""
        await self._opened_or_failed.wait()
        if self._client is None:
            raise self._error
        return self._client

    def opened(self, client: SQSClient) -> None:
        self._client = client
        self._opened_or_failed.set()

    def failed(self, error: Exception) -> None:
        self._error = error
        self._opened_or_failed.set()
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
    """Return AWS's error code or the exception's class. The error's text is not used, as it may quote the request."""
    if isinstance(error, ClientError):
        return as_label(error.response.get("Error", {}).get("Code"))
    if isinstance(error, PARSER_ERRORS):
        return MalformedAnswer.__name__
    return type(error).__name__
