"""The command line's words."""

from __future__ import annotations

import argparse
import re
from urllib.parse import urlsplit


def parser() -> argparse.ArgumentParser:
    """One command each; ``command`` is its name."""
    root = argparse.ArgumentParser(prog="sse-service", description="Pushes SNS/SQS events to browsers.")
    commands = root.add_subparsers(required=True, metavar="COMMAND", dest="command")

    serve = commands.add_parser("serve", help="run the service; settings come from SSE_* in the environment")

    dev = commands.add_parser("dev", help="run the service with an embedded SNS, SQS and S3, and a demo page")

    for command in (serve, dev):
        command.add_argument("--host", default="127.0.0.1", help="address to listen on [127.0.0.1]")
        command.add_argument(
            "--port", type=_port, default=8000, help="port to listen on; 0 takes any that is free [8000]"
        )

    token = commands.add_parser("token", help="print a token signed with the first SSE_JWT_SECRET")
    token.add_argument("user", type=_name, metavar="USER")
    token.add_argument("--groups", default="", help="separated by commas")
    token.add_argument("--ttl", type=_seconds, default=3600, help="how long it holds, as 30s, 10m, 1h or 1d [1h]")

    publish = commands.add_parser("publish", help="send one event to SSE_TOPIC_ARN")
    whom = publish.add_mutually_exclusive_group()
    whom.add_argument("--user", type=_name)
    whom.add_argument("--group", type=_name)
    whom.add_argument("--broadcast", action="store_true")
    publish.add_argument("--type", type=_name, help="the event's name in the browser")
    publish.add_argument("--subject", type=_name, help="the upload or job that it is about")
    publish.add_argument("--id", type=_name, help="by which copies of the event are recognised")
    publish.add_argument("data", metavar="DATA")

    doctor = commands.add_parser(
        "doctor", help="check, from inside a task, all that lies between a publish and a stream; says what to do"
    )
    doctor.add_argument(
        "--url",
        type=_address,
        default="http://127.0.0.1:8000",
        help="where `serve` is reached [http://127.0.0.1:8000]",
    )
    return root


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) < 65_536):
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
    return int(text)


def _name(text: str) -> str:
    if not text or not text.isprintable():
        raise argparse.ArgumentTypeError("must not be empty, and must not hold control characters")
    return text


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        # What a request, and a look-up of the name, can be made of.
        known = known and text.isprintable() and " " not in text and parts.path.isascii()
        (parts.hostname or "").encode("idna")
    except ValueError:
        known = False
    if not known or parts.query or parts.fragment or parts.username is not None:
        raise argparse.ArgumentTypeError("must be an address as http://127.0.0.1:8000")
    return text.rstrip("/")


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([1-9]\d{0,8})([smhd])", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError("must be a time as 30s, 10m, 1h or 1d")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]]
