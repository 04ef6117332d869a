"""A client whose two busiest calls, ReceiveMessage and DeleteMessageBatch, cost a fraction of aiobotocore's CPU.

aiobotocore spends nearly all of a call's CPU on work whose result is the same each time: endpoint rules, serialisers,
event handlers, headers. The fast client lets aiobotocore prepare each call once and captures it before it is sent.
After that it sends new bodies with the captured endpoint and headers, over connections of its own.

It handles only the ordinary case. The outcome is always the same as aiobotocore's:

- The body is the parameters as JSON. A call is eligible only if the captured body was exactly that. aiobotocore's own
  signer provides the credentials for each call, and refreshes them.
- Clients, endpoints and requests that need anything unusual (see ``eligibility``) go through aiobotocore from the
  start. ``status`` says so, with the reason.
- If no connection can be made, nothing was sent. aiobotocore makes the call and raises its own error.
- A response that is not a 200 with a JSON object, or a failure after the request was written, is given to aiobotocore
  as the outcome of its own first attempt, at the event ``before-send``. aiobotocore then retries, backs off, counts
  and maps errors.

Some differences remain. A successful call lacks the ``amz-sdk-*`` headers, which tell AWS the number of the attempt.
It emits no botocore event except ``after-call``, which returns a token to the retry quota, and only while the quota
may be short of tokens. Redirects are not followed; SQS sends none.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import orjson
from aiobotocore.awsrequest import AioAWSResponse
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.exceptions import HTTPClientError

from consumers.sqs.fast.connection_pool import ConnectionPool, ConnectionUnavailable
from consumers.sqs.fast.eligibility import Ineligible, check_client, check_url
from consumers.sqs.fast.http_connection import HTTPResponse
from consumers.sqs.fast.prepared_call import CapturedCall, PreparedCall, prepare
from consumers.sqs.fast.status import OPERATIONS, TURNED_OFF, FastPathStatus
from consumers.sqs.responses import parse_success

if TYPE_CHECKING:
    from aiobotocore.httpsession import AIOHTTPSession
    from types_aiobotocore_sqs import SQSClient

RETRY_QUOTA = 500
"""The size of botocore's retry quota in tokens. Each success returns one."""

_capturing: ContextVar[bool] = ContextVar("capturing", default=False)
_first_attempt: ContextVar[AioAWSResponse | Exception | None] = ContextVar("first_attempt", default=None)
"""The outcome of the fast client's attempt, for ``_hand_over``."""

_AiobotocoreCall = Callable[..., Awaitable[Any]]


@contextmanager
def fast_client(client: SQSClient, *, status: FastPathStatus) -> Iterator[SQSClient]:
    """Yield a FastClient and close its connections at the end. Yields ``client`` itself if it is not eligible."""
    try:
        if not status.enabled:
            raise Ineligible(TURNED_OFF)
        session = check_client(client)
    except Ineligible as error:
        status.declined(error.reason)
        yield client
        return
    fast = FastClient(client, session, status)
    try:
        yield cast("SQSClient", fast)
    finally:
        fast.close()


class FastClient:
    """An SQS client with two fast calls. All others are aiobotocore's."""

    def __init__(self, client: Any, session: AIOHTTPSession, status: FastPathStatus) -> None:
        self._client = client
        self._session = session
        self._status = status
        self._events = client.meta.events
        self._tls: ssl.SSLContext | None = None
        self._pools: dict[str, ConnectionPool] = {}
        # Operation, queue and parameter names -> the prepared call; None if such calls are not eligible.
        self._prepared: dict[tuple[str, ...], PreparedCall | None] = {}
        # How many successes are needed until the retry quota is full again.
        self._tokens_owed = 0
        self._events.register_first("needs-retry.sqs", self._quota_was_used)
        for operation in OPERATIONS:
            self._events.register_first(f"before-call.sqs.{operation}", _capture)
            self._events.register_first(f"before-send.sqs.{operation}", _hand_over)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def receive_message(self, **params: Any) -> Any:
        """Call ReceiveMessage."""
        return await self._call("ReceiveMessage", self._client.receive_message, params)

    async def delete_message_batch(self, **params: Any) -> Any:
        """Call DeleteMessageBatch."""
        return await self._call("DeleteMessageBatch", self._client.delete_message_batch, params)

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    async def _call(self, operation: str, aiobotocore_call: _AiobotocoreCall, params: dict[str, Any]) -> Any:
        key = (operation, str(params.get("QueueUrl")), *params)
        if key not in self._prepared and (answer := await self._prepare(key, aiobotocore_call, params)) is not None:
            return answer
        prepared = self._prepared[key]
        if prepared is None:
            return await aiobotocore_call(**params)
        body, credentials = _json(params), await prepared.credentials()
        if body is None or credentials is None:
            answer = await aiobotocore_call(**params)
            self._status.fell_back(
                operation, f"the {'credentials' if body else 'parameters'} cannot be sent as they are"
            )
            return answer
        try:
            response = await prepared.pool.send(prepared.signer.head(body, credentials, _now()) + body)
        except ConnectionUnavailable as error:
            answer = await aiobotocore_call(**params)
            self._status.fell_back(operation, str(error))
            return answer
        except (HTTPClientError, BotoConnectionError) as error:
            answer = await _continue(error, aiobotocore_call, params)
            self._status.fell_back(operation, f"its connection fails ({type(error).__name__})")
            return answer
        found = parse_success(response.body) if response.status_code == 200 else None
        if found is None:
            outcome = AioAWSResponse(prepared.url, response.status_code, response.headers, response)
            return await _continue(outcome, aiobotocore_call, params)
        found["ResponseMetadata"] = _metadata(response)
        self._status.took(operation)
        if self._tokens_owed:
            self._tokens_owed -= 1
            event = f"after-call.sqs.{operation}"
            await self._events.emit(event, http_response=response, parsed=found, model=prepared.model, context={})
        return found

    def _quota_was_used(self, **_: Any) -> None:
        """Handle ``needs-retry``: aiobotocore made an attempt, and may have taken tokens from the quota."""
        self._tokens_owed = RETRY_QUOTA

    async def _prepare(
        self, key: tuple[str, ...], aiobotocore_call: _AiobotocoreCall, params: dict[str, Any]
    ) -> Any | None:
        """Let aiobotocore prepare a call, and keep the result. Returns the answer if the call was sent anyway."""
        token = _capturing.set(True)
        try:
            answer = await aiobotocore_call(**params)
        except CapturedCall as captured:
            try:
                self._prepared[key] = prepare(captured, params, self._pool_for)
            except Ineligible as error:
                self._prepared[key] = None
                self._status.declined(error.reason, key[0])
            return None
        finally:
            _capturing.reset(token)
        self._status.declined(f"aiobotocore did not emit before-call.sqs.{key[0]}", key[0])
        return answer

    def _pool_for(self, url: str) -> ConnectionPool:
        """Return the connection pool of an endpoint. Raises Ineligible."""
        if url not in self._pools:
            check_url(url, self._session)
            config = self._client.meta.config
            self._pools[url] = ConnectionPool(
                urlsplit(url),
                tls=self._tls_context,
                max_connections=config.max_pool_connections,
                connect_seconds=config.connect_timeout,
                silence_seconds=config.read_timeout,
                keep_seconds=config.connector_args["keepalive_timeout"],
            )
        return self._pools[url]

    async def _tls_context(self) -> ssl.SSLContext:
        # In a thread, because it reads the bundle of certificate authorities from disk.
        if self._tls is None:
            self._tls, _ = await asyncio.to_thread(self._session._build_ssl_contexts, None)
        return self._tls


async def _continue(
    first_attempt: AioAWSResponse | Exception, aiobotocore_call: _AiobotocoreCall, params: dict[str, Any]
) -> Any:
    """Let aiobotocore make a call whose first attempt has already been made."""
    token = _first_attempt.set(first_attempt)
    try:
        return await aiobotocore_call(**params)
    finally:
        _first_attempt.reset(token)


def _capture(**event: Any) -> None:
    """Handle ``before-call``: stop a call that aiobotocore was only asked to prepare."""
    if _capturing.get():
        raise CapturedCall(event)


def _hand_over(**_: Any) -> AioAWSResponse | None:
    """Handle ``before-send``: give aiobotocore the outcome of the first attempt instead of letting it make one."""
    outcome = _first_attempt.get()
    _first_attempt.set(None)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _json(params: dict[str, Any]) -> bytes | None:
    """Return the parameters as JSON; None if they contain lone surrogates, which only botocore's JSON can escape."""
    try:
        return orjson.dumps(params)
    except TypeError:
        return None


def _now() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def _metadata(response: HTTPResponse) -> dict[str, Any]:
    metadata = {"HTTPStatusCode": response.status_code, "HTTPHeaders": response.headers, "RetryAttempts": 0}
    request_id = response.headers.get("x-amzn-requestid")
    return metadata if request_id is None else {"RequestId": request_id, **metadata}
