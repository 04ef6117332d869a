"""Runs the service with a limit of file descriptors: ``python -m tests.faults.few_descriptors 256 serve …``."""

from __future__ import annotations

import resource
import runpy
import sys

if __name__ == "__main__":
    most = int(sys.argv.pop(1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    runpy.run_module("sse_service", run_name="__main__", alter_sys=True)
