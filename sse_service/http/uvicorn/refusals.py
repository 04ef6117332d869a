"""The answers to input that never became a request."""

from __future__ import annotations

from sse_service.http import problems

MAX_HEAD_BYTES = 16 * 1024
"""Limit of request line plus headers. An ALB passes on up to 64 KiB; browsers send far less, even with cookies."""

HEAD_SECONDS = 10
"""How long a request's head may take. A client that sends it byte by byte occupies a descriptor (slow-loris)."""

HEAD_TOO_LONG = problems.raw_response(431, f"the request line and headers must have at most {MAX_HEAD_BYTES} bytes")
HEAD_TOO_SLOW = problems.raw_response(408, f"the request line and headers must arrive within {HEAD_SECONDS} s")
MALFORMED = problems.raw_response(400, "this is not an HTTP/1.1 request")
