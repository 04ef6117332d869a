"""The entry point of ``sse-service`` and of ``python -m sse_service``."""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """Run the command line. A signal while modules are imported ends the process without a traceback."""
    # No exception here: during an import it may surface as another one, and there is nothing to clean up yet.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        from sse_service import cli

        signal.signal(signal.SIGTERM, _exit)
        return cli.main()
    except KeyboardInterrupt:
        print("sse-service: stopped", file=sys.stderr)
        return 130


def _exit(_: int, __: object) -> None:
    """Exit on SIGTERM until the server handles it: as process 1 of a container, Python would ignore the signal."""
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
