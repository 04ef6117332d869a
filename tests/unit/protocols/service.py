"""The public app of one task on real connections, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sse_service.auth.authenticator import AuthenticatorChain
from sse_service.auth.bearer import BearerAuthenticator
from sse_service.auth.tokens.hs256 import HS256Verifier
from sse_service.auth.tokens.signing import TokenSigner
from sse_service.http.app import create_app
from sse_service.http.probes import Probes
from sse_service.http.session import Session
from sse_service.http.uvicorn.server import SecondaryServer
from sse_service.protocols.admission import Admission
from sse_service.protocols.polling.endpoint import PollEndpoint
from sse_service.protocols.sse.endpoint import EventsEndpoint
from sse_service.protocols.websocket.endpoint import WebSocketEndpoint
from tests.unit.serving import serving
from tests.unit.task import Task

SECRET = "x" * 32


@asynccontextmanager
async def service(task: Task) -> AsyncIterator[SecondaryServer]:
    """The public app of one task."""
    verifier = HS256Verifier(secrets=[SECRET])
    auth = AuthenticatorChain(BearerAuthenticator(verifier), revocations=task.revocations)
    admission = Admission(auth=auth, streams=task.streams, metrics=task.metrics)
    app = create_app(
        streams={
            "/events": EventsEndpoint(admission=admission, streams=task.streams, heartbeat_seconds=15),
            "/events/poll": PollEndpoint(admission=admission, streams=task.streams),
            "/ws": WebSocketEndpoint(admission=admission, streams=task.streams, heartbeat_seconds=15),
        },
        session=Session(
            verifier=verifier,
            revocations=task.revocations,
            revoker=task.revoker,
            allowed_origins=(),
            cookie_name="c",
            same_site="lax",
            domain=None,
            secure=True,
        ),
        probes=Probes(health=task.health),
        cors_origins=["https://app.example.com"],
    )
    working = asyncio.create_task(task.streams.run())
    try:
        async with serving(app, health=task.health) as server:
            yield server
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
"""The headers of a WebSocket's handshake."""


def request(line: str = "GET /events HTTP/1.1", *headers: str) -> bytes:
    """A request of user 1."""
    token = TokenSigner(secret=SECRET).sign("1")
    return "\r\n".join((line, "Host: x", f"Authorization: Bearer {token}", *headers, "", "")).encode()
