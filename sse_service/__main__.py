"""``python -m sse_service`` is ``sse-service``."""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """Run the command line; a signal while it is being loaded is no failure to be explained by a traceback."""
    # While modules are being loaded an exception may come out as something else, and there is nothing to be closed.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        from sse_service import cli

        signal.signal(signal.SIGTERM, _end)
        return cli.main()
    except KeyboardInterrupt:
        print("sse-service: stopped", file=sys.stderr)
        return 130


def _end(_: int, __: object) -> None:
    """Until the server takes the signal: process 1 of a container has no default for it, and would be killed."""
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
