"""``python -m tests.faults.previous_service serve`` is ``sse-service serve`` with the scripts of the last release."""

from __future__ import annotations

import sys
from unittest.mock import patch

from sse_service import cli
from sse_service.brokers.valkey import broker
from tests.contracts.previous_release import PreviousBroker

if __name__ == "__main__":
    with patch.object(broker, "ValkeyBroker", PreviousBroker):
        sys.exit(cli.main(sys.argv[1:]))
