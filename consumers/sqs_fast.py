"""The short way for the two calls that a busy consumer makes: receive, and delete a batch.

aiobotocore spends two thirds of a call on what these two never need: its signer, its HTTP client, the events on the
way. ``installed`` makes a client answer them at the event ``before-call``, where the endpoint is resolved and the body
is serialised, over a connection of our own. It is safe because only the plain case ends here:

* The endpoint, the body, credentials and their refresh are aiobotocore's, before this module sees the call.
* What is not plain (see ``sqs_plain``) is not touched: the handler answers None, and aiobotocore goes on as if there
  were no handler.
* Where no connection can be made nothing was sent: again None, so its own try and its own error follow.
* A reply that is no clean 200 with a JSON object, or a fault after the request was written, is handed to aiobotocore
  as the outcome of its first attempt, at the event ``before-send``: it retries, backs off, counts and maps errors.
* Where a part of aiobotocore that this needs is missing or of another kind, nothing is installed: calls are slower,
  not different.

A clean call lacks the headers ``amz-sdk-*``, which tell AWS the number of the attempt, and handlers of the events
between ``before-call`` and ``after-call`` are not asked. Redirects, which SQS does not send, are not followed.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from aiobotocore.awsrequest import AioAWSResponse
from botocore.exceptions import ConnectionError as NoConnection
from botocore.exceptions import HTTPClientError

from consumers.sqs_answers import members
from consumers.sqs_connection import Reply
from consumers.sqs_plain import plain_call, plain_session, plain_url
from consumers.sqs_signer import head
from consumers.sqs_transport import NotSent, Transport

if TYPE_CHECKING:
    from aiobotocore.httpsession import AIOHTTPSession
    from types_aiobotocore_sqs import SQSClient

OPERATIONS = ("ReceiveMessage", "DeleteMessageBatch")
_OUTCOME = "consumers.sqs_fast.outcome"
"""Where in a call's context the first attempt's outcome waits for aiobotocore."""


@contextmanager
def installed(client: SQSClient) -> Iterator[None]:
    """Answer the client's plain calls the short way, and close the connections in the end."""
    session = plain_session(client)
    if session is None:
        yield
        return
    fast, events = _Fast(client, session), cast("Any", client.meta.events)
    for operation in OPERATIONS:
        events.register_first(f"before-call.sqs.{operation}", fast.call)
        events.register_first(f"before-send.sqs.{operation}", fast.hand_over)
    try:
        yield
    finally:
        fast.close()


class _Fast:
    """The handlers of one client's events."""

    __slots__ = ("_client", "_session", "_tls", "_transports")

    def __init__(self, client: Any, session: AIOHTTPSession) -> None:
        self._client = client
        self._session = session
        self._tls: ssl.SSLContext | None = None
        self._transports: dict[str, Transport | None] = {}

    async def call(
        self, *, params: dict[str, Any], request_signer: Any, context: dict[str, Any], **_: Any
    ) -> tuple[Reply, dict[str, Any]] | None:
        """Give the response and what it says, or None for a call that aiobotocore must make or go on with."""
        url = params["url"]
        transport = self._transports[url] if url in self._transports else self._transport(url)
        if transport is None or not plain_call(params, context):
            return None
        region, service = request_signer.region_name, request_signer.signing_name
        auth = await request_signer.get_auth_instance(service, region, "v4")
        if auth.credentials is None:
            return None
        body = params["body"]
        request = head(
            params["headers"],
            body,
            host=transport.host,
            region=region,
            service=service,
            credentials=auth.credentials,
            timestamp=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        )
        try:
            reply = await transport.send(request + body)
        except NotSent:
            return None
        except (HTTPClientError, NoConnection) as error:
            context[_OUTCOME] = error
            return None
        found = members(reply.body) if reply.status_code == 200 else None
        if found is None:
            context[_OUTCOME] = AioAWSResponse(url, reply.status_code, reply.headers, reply)
            return None
        found["ResponseMetadata"] = _metadata(reply)
        return reply, found

    def hand_over(self, *, request: Any, **_: Any) -> AioAWSResponse | None:
        """Give aiobotocore the first attempt's outcome in place of an attempt."""
        outcome = request.context.pop(_OUTCOME, None)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> None:
        for transport in self._transports.values():
            if transport is not None:
                transport.close()

    def _transport(self, url: str) -> Transport | None:
        """Remember and give the connections for an endpoint; None where it is not plain."""
        config = self._client.meta.config
        self._transports[url] = found = (
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
        return found

    async def _context(self) -> ssl.SSLContext:
        # Reads the bundle of authorities from disk.
        if self._tls is None:
            self._tls, _ = await asyncio.to_thread(self._session._build_ssl_contexts, None)
        return self._tls


def _metadata(reply: Reply) -> dict[str, Any]:
    metadata = {"HTTPStatusCode": reply.status_code, "HTTPHeaders": reply.headers, "RetryAttempts": 0}
    request_id = reply.headers.get("x-amzn-requestid")
    return metadata if request_id is None else {"RequestId": request_id, **metadata}
