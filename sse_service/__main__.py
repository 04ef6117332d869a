"""``python -m sse_service`` is ``sse-service``."""

import sys

from sse_service.cli import main

sys.exit(main())
