"""The short way for the two calls that a busy consumer makes: receive, and delete a batch.

Nearly all that aiobotocore spends on one of these two, it spends on what is the same each time: rules of endpoints,
serialisers, events, headers. ``shortened`` gives a client that lets aiobotocore prepare such a call once, and stops it
before anything is sent (a rehearsal); from then on it sends new bodies in that form, over a connection of its own. It
is safe because only the plain case ends here:

* The endpoint and the headers are those that aiobotocore gave the rehearsal. The body is the parameters as JSON,
  where the body of the rehearsal was just that. Credentials, and their refresh, are asked of its signer each time.
* What is not plain (see ``sqs_plain``) is aiobotocore's from the beginning.
* Where no connection can be made nothing was sent: aiobotocore makes the call, so its own error follows.
* A reply that is no clean 200 with a JSON object, or a fault after the request was written, is handed to aiobotocore
  as the outcome of its own first attempt, at the event ``before-send``: it retries, backs off, counts and maps errors.
* Where a part of aiobotocore that this needs is missing or of another kind, the client is given as it is: calls are
  slower, not different.

A clean call lacks the headers ``amz-sdk-*``, which tell AWS the number of the attempt. It has none of the events but
``after-call``, by which the quota of retries grows, and that only where the quota may not be full. Redirects, which SQS
does not send, are not followed.
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
from botocore.exceptions import ConnectionError as NoConnection
from botocore.exceptions import HTTPClientError

from consumers.sqs.fast.connection import Reply
from consumers.sqs.fast.eligible import plain_session, plain_url
from consumers.sqs.fast.pool import NotSent, Transport
from consumers.sqs.fast.prepared import Form, Prepared, form
from consumers.sqs.responses import members

if TYPE_CHECKING:
    from aiobotocore.httpsession import AIOHTTPSession
    from types_aiobotocore_sqs import SQSClient

OPERATIONS = ("ReceiveMessage", "DeleteMessageBatch")

QUOTA = 500
"""What botocore's quota of retries holds; each success gives one back."""

_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)
_outcome: ContextVar[AioAWSResponse | Exception | None] = ContextVar("outcome", default=None)
"""What came of the first attempt, on the way to aiobotocore."""


@contextmanager
def shortened(client: SQSClient) -> Iterator[SQSClient]:
    """Give a client that makes its plain calls the short way, and close its connections in the end."""
    session = plain_session(client)
    if session is None:
        yield client
        return
    short = _Short(client, session)
    try:
        yield cast("SQSClient", short)
    finally:
        short.close()


class _Short:
    """A client with two calls of its own; all else is the whole client's."""

    def __init__(self, client: Any, session: AIOHTTPSession) -> None:
        self._client = client
        self._session = session
        self._events = client.meta.events
        self._tls: ssl.SSLContext | None = None
        self._transports: dict[str, Transport | None] = {}
        # Operation, queue and names of the parameters -> its form; None where it is not plain.
        self._forms: dict[tuple[str, ...], Form | None] = {}
        # Successes after which the quota is full again.
        self._owed = 0
        self._events.register_first("needs-retry.sqs", self._attempted)
        for operation in OPERATIONS:
            self._events.register_first(f"before-call.sqs.{operation}", _end_rehearsal)
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
        for transport in self._transports.values():
            if transport is not None:
                transport.close()

    async def _call(self, operation: str, whole: Callable[..., Awaitable[Any]], params: dict[str, Any]) -> Any:
        """Make a call the short way; ``whole`` is aiobotocore's, for what is not plain or not clean."""
        key = (operation, str(params.get("QueueUrl")), *params)
        if key not in self._forms and (answer := await self._rehearse(key, whole, params)) is not None:
            return answer
        plain, body = self._forms[key], _json(params)
        credentials = None if plain is None else await plain.credentials()
        if plain is None or body is None or credentials is None:
            return await whole(**params)
        try:
            reply = await plain.transport.send(plain.signer.head(body, credentials, _now()) + body)
        except NotSent:
            return await whole(**params)
        except (HTTPClientError, NoConnection) as error:
            return await _go_on(error, whole, params)
        found = members(reply.body) if reply.status_code == 200 else None
        if found is None:
            response = AioAWSResponse(plain.url, reply.status_code, reply.headers, reply)
            return await _go_on(response, whole, params)
        found["ResponseMetadata"] = _metadata(reply)
        if self._owed:
            self._owed -= 1
            event = f"after-call.sqs.{operation}"
            await self._events.emit(event, http_response=reply, parsed=found, model=plain.model, context={})
        return found

    def _attempted(self, **_: Any) -> None:
        """Aiobotocore has made an attempt of its own, which may have taken from its quota."""
        self._owed = QUOTA

    async def _rehearse(
        self, key: tuple[str, ...], whole: Callable[..., Awaitable[Any]], params: dict[str, Any]
    ) -> Any | None:
        """Let aiobotocore prepare a call, and remember its form; gives the answer where nothing stopped the call."""
        token = _rehearsing.set(True)
        try:
            return await whole(**params)
        except Prepared as prepared:
            self._forms[key] = form(prepared, params, self._transport)
            return None
        finally:
            _rehearsing.reset(token)

    def _transport(self, url: str) -> Transport | None:
        """Remember and give the connections for an endpoint; None where it is not plain."""
        if url not in self._transports:
            config = self._client.meta.config
            self._transports[url] = (
                Transport(
                    urlsplit(url),
                    tls=self._context,
                    most=config.max_pool_connections,
                    connect_seconds=config.connect_timeout,
                    silence_seconds=config.read_timeout,
                    keep_seconds=config.connector_args["keepalive_timeout"],
                )
                if plain_url(url, self._session)
                else None
            )
        return self._transports[url]

    async def _context(self) -> ssl.SSLContext:
        # Reads the bundle of authorities from disk.
        if self._tls is None:
            self._tls, _ = await asyncio.to_thread(self._session._build_ssl_contexts, None)
        return self._tls


async def _go_on(
    outcome: AioAWSResponse | Exception, whole: Callable[..., Awaitable[Any]], params: dict[str, Any]
) -> Any:
    """Let aiobotocore make the call, of which the first attempt has been made."""
    token = _outcome.set(outcome)
    try:
        return await whole(**params)
    finally:
        _outcome.reset(token)


def _end_rehearsal(
    *, params: dict[str, Any], request_signer: Any, context: dict[str, Any], model: Any, **_: Any
) -> None:
    """Stop a call that is only rehearsed; a handler of ``before-call``."""
    if _rehearsing.get():
        raise Prepared(request=params, signer=request_signer, context=context, model=model)


def _hand_over(**_: Any) -> AioAWSResponse | None:
    """Give aiobotocore the first attempt's outcome in place of an attempt; a handler of ``before-send``."""
    outcome = _outcome.get()
    _outcome.set(None)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _json(params: dict[str, Any]) -> bytes | None:
    """None for text that is no UTF-8; botocore escapes it, and so SQS sees it."""
    try:
        return orjson.dumps(params)
    except TypeError:
        return None


def _now() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def _metadata(reply: Reply) -> dict[str, Any]:
    metadata = {"HTTPStatusCode": reply.status_code, "HTTPHeaders": reply.headers, "RetryAttempts": 0}
    request_id = reply.headers.get("x-amzn-requestid")
    return metadata if request_id is None else {"RequestId": request_id, **metadata}
