"""How much a client may send, how slowly, and the answers if it exceeds these limits."""

from __future__ import annotations

from sse_service.http import problems

MAX_HEAD_BYTES = 16 * 1024
"""Limit of request line plus headers. An ALB passes on up to 64 KiB; browsers send far less, even with cookies."""

HEAD_SECONDS = 10
"""How long a request's head may take. A client that sends it byte by byte occupies a descriptor (slow-loris)."""

BODY_SECONDS = 10
"""How long the rest of a request body may take after the response was sent."""

MAX_PIPELINED = 10
"""Pipelined requests that may wait while one is answered. Each is parsed and kept in memory."""

LATE_SECONDS = 1
"""If a deadline fires this late, the process itself was blocked. Data that has arrived meanwhile is read first."""

LINGER_SECONDS = 30
"""How long a closing connection may take to send its last bytes."""

REFUSED_SECONDS = 2
"""How long a client may go on sending after its request was refused."""

REFUSED_BYTES = 2 * 1024 * 1024
"""How many bytes a client may go on sending after its request was refused."""

HEAD_TOO_LONG = problems.raw_response(431, f"the request line and headers must have at most {MAX_HEAD_BYTES} bytes")
HEAD_TOO_SLOW = problems.raw_response(408, f"the request line and headers must arrive within {HEAD_SECONDS} s")
MALFORMED = problems.raw_response(400, "this is not an HTTP/1.1 request")
