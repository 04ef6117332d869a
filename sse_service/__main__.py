"""``python -m sse_service`` is ``sse-service``."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; Ctrl-C while it is being loaded is no failure to be explained by a traceback."""
    try:
        from sse_service import cli

        return cli.main()
    except KeyboardInterrupt:
        print("sse-service: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
