"""The opening handshake (RFC 6455 §4.2), by the package ``websockets``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidHeader, InvalidUpgrade, NegotiationError
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from sse_service.http.problems import problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.types import Scope

SUBPROTOCOL = Subprotocol("sse-service.v1")
"""The name of this room's messages. A client that offers no subprotocol gets them too."""

VERSION = "13"
"""The only version of the protocol (RFC 6455 §4.1)."""


def answer_to(scope: Scope) -> bytes | Response:
    """Return the head of a 101 response, or the response to a request that is not a valid handshake.

    No extension is negotiated: with compression, every message would have to be compressed for each client.
    """
    if scope["method"] != "GET" or scope["http_version"] != "1.1":
        return _upgrade_required("a WebSocket begins with a GET request of HTTP/1.1")
    headers = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    try:
        accept, _, subprotocol = _HANDSHAKE.process_request(Request("", headers))
    except InvalidUpgrade:
        return _upgrade_required("this path speaks WebSocket: connect with a WebSocket client")
    except InvalidHeader as error:
        if error.name == "Sec-WebSocket-Version":
            return _upgrade_required(f"Sec-WebSocket-Version must be {VERSION}")
        return problem(400, f"the WebSocket handshake is not valid: {error}")
    except InvalidHandshake as error:
        return problem(400, f"the WebSocket handshake is not valid: {error}")
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept}",
        *([f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []),
    ]
    return "\r\n".join([*lines, "\r\n"]).encode()


def _upgrade_required(detail: str) -> Response:
    """Make the answer of RFC 9110 §15.5.22, which names the version too (RFC 6455 §4.4)."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": VERSION}
    return problem(426, detail, headers=headers)


def _select(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    if offered and SUBPROTOCOL not in offered:
        raise NegotiationError(f"the subprotocol must be {SUBPROTOCOL}, or none")
    return SUBPROTOCOL if offered else None


_HANDSHAKE = ServerProtocol(select_subprotocol=_select)  # keeps nothing that matters to the next request
