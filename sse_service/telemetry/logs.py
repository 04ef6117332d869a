"""Sets up logging: one line per record on stderr, and no tokens or payloads from libraries."""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Literal, TextIO

OWN_LOGGERS = ("sse_service", "consumers")
"""The loggers that follow ``SSE_LOG_LEVEL``. All others write warnings and errors only."""

QUIET_LOGGERS = (
    *("aiobotocore", "aiohttp", "asyncio", "boto3", "botocore", "httpcore", "httpx", "moto", "multipart"),
    *("python_multipart", "responses", "s3transfer", "sse_starlette", "starlette", "urllib3", "werkzeug"),
)
"""Loggers that stay at WARNING or above, even if the root logger's level is lowered.

At DEBUG botocore logs bodies and Authorization headers, and sse_starlette logs each chunk. At INFO httpx and werkzeug
log each URL with its query string.
"""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BUILT_IN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str, format: Literal["json", "text"]) -> None:  # noqa: A002  the setting's name
    """Log to stderr. A second call replaces the configuration of the first.

    ``level`` is a level name of the ``logging`` module, in any case. Start uvicorn with ``log_config=None``, or it
    configures its own loggers again.
    """
    lowest = logging.getLevelNamesMapping()[level.upper()]
    handler = _StderrHandler()
    handler.setFormatter(_JsonFormatter() if format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers = [*(h for h in root.handlers if not isinstance(h, _StderrHandler)), handler]
    root.setLevel(max(lowest, logging.WARNING))
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(lowest)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(lowest, logging.WARNING))
    # At its TRACE level uvicorn logs scopes with their headers. At INFO it repeats the service's own lines.
    logging.getLogger("uvicorn").setLevel(max(lowest, logging.WARNING))
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)
    # Access lines contain the query string, where a client might have put a token (CWE-598).
    logging.getLogger("uvicorn.access").disabled = True


class _StderrHandler(logging.StreamHandler[TextIO]):
    """A separate class, so that a second call of ``configure`` removes only its own handler."""


class _JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if trace := _trace(self, record):
            line["exception"] = trace
        return json.dumps(line, default=str)


class _TextFormatter(logging.Formatter):
    """Formats time, level, logger, message and fields as one line, and a traceback as indented lines below it."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _extra(record).items())
        # A line break in a message could forge another record (CWE-117).
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {_escaped(record.getMessage() + fields)}"
        trace = _trace(self, record)
        return "\n".join([line, *(f"    {_escaped(part)}" for part in trace.split("\n") if trace)])


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _BUILT_IN}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    parts += [formatter.formatStack(record.stack_info)] if record.stack_info else []
    return "\n".join(parts)


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
