"""What is answered where there is no request to answer."""

from __future__ import annotations

from sse_service.http import problems

MAX_HEAD_BYTES = 16 * 1024
"""Request line and headers; what an ALB passes on is at most 64 KiB, what a browser sends with cookies far less."""

HEAD_SECONDS = 10
"""How long a request's head may take to come: a client that sends it byte by byte holds a descriptor (slow-loris)."""

TOO_LONG = problems.raw(431, f"the request line and headers must have at most {MAX_HEAD_BYTES} bytes")
TOO_SLOW = problems.raw(408, f"the request line and headers must come within {HEAD_SECONDS} s")
MALFORMED = problems.raw(400, "this is no HTTP/1.1 request")
