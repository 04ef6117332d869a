"""Runs ``sse-service`` with another address for the load balancer's keys: ``python -m … URL serve …``.

The address is AWS's, and follows from SSE_ALB_ARN. A setting for it would let whoever can set it name any user.
"""

from __future__ import annotations

import sys

from sse_service.__main__ import main
from sse_service.auth.alb import keys as alb_keys


def run() -> int:
    url = sys.argv.pop(1)
    alb_keys.keys_url = lambda _: url
    return main()


if __name__ == "__main__":
    sys.exit(run())
