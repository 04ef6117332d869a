"""The command line's commands and arguments."""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit

from sse_service.auth.tokens.claims import MAX_GROUPS
from sse_service.model import durations

MAX_TTL_DAYS = 36_500
"""100 years. The service refuses tokens that expire after the year 3000."""


def parser() -> argparse.ArgumentParser:
    """Make the parser. The result has the name of the command in ``command``."""
    root = argparse.ArgumentParser(prog="sse-service", description="Pushes SNS/SQS events to browsers.")
    commands = root.add_subparsers(required=True, metavar="COMMAND", dest="command")

    serve = commands.add_parser("serve", help="run the service; settings come from SSE_* in the environment")

    dev = commands.add_parser("dev", help="run the service with an embedded SNS, SQS and S3, and a demo page")

    for command in (serve, dev):
        command.add_argument("--host", default="127.0.0.1", help="address to listen on [127.0.0.1]")
        command.add_argument("--port", type=_port, default=8000, help="port to listen on; 0 picks a free one [8000]")

    token = commands.add_parser("token", help="print a token signed with the first SSE_JWT_SECRET")
    token.add_argument("user", type=_recipient, metavar="USER")
    token.add_argument("--groups", type=_groups, default=[], help="the user's groups, separated by commas")
    token.add_argument("--ttl", type=_ttl, default=3600, help="how long it is valid, such as 30s, 10m, 1h or 1d [1h]")

    whoami = commands.add_parser("whoami", help="say how `serve` would judge a token, and why, without printing it")
    whoami.add_argument(
        "token",
        metavar="TOKEN",
        help="the token; `-` reads it from stdin, which keeps it out of the shell's history and of `ps`",
    )

    publish = commands.add_parser("publish", help="send one event to SSE_TOPIC_ARN")
    recipients = publish.add_mutually_exclusive_group()
    recipients.add_argument("--user", type=_recipient, help="send it to this user")
    recipients.add_argument("--group", type=_recipient, help="send it to this group")
    recipients.add_argument("--broadcast", action="store_true", help="send it to everyone")
    publish.add_argument("--type", type=_name, help="the event's name in the browser")
    publish.add_argument("--subject", type=_name, help="the upload or job that the event is about")
    publish.add_argument("--id", type=_name, help="the event's id: events with the same id are one event")
    publish.add_argument("data", metavar="DATA")

    tail = commands.add_parser("tail", help="print a user's events as they come, and come back after every loss")
    who = tail.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", type=_recipient, help="the user; needs SSE_JWT_SECRET to sign a token")
    who.add_argument("--token", help="the user's token; `-` reads it from stdin, which keeps it out of `ps`")
    tail.add_argument("--groups", type=_groups, default=[], help="the user's groups, with --user")
    tail.add_argument("--over", choices=("sse", "websocket", "polling"), default="sse", help="the protocol [sse]")
    tail.add_argument("--since", help="begin in the past: `all`, a time such as 10m, or an event's id")
    tail.add_argument("--types", help="only events of these names, separated by commas")
    tail.add_argument("--subject", help="only events of this subject")
    tail.add_argument("--json", action="store_true", help="print a JSON object a line")

    route = commands.add_parser("route", help="show which events, channels and bytes a message makes, or why none")
    route.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="a message's body, a message, or the output of `aws sqs receive-message`; `-` is stdin [-]",
    )
    route.add_argument(
        "--attributes",
        metavar="JSON",
        help="""the message attributes of a plain body, as '{"user_id":"42"}' or as the AWS CLI writes them""",
    )
    route.add_argument("--raw", action="store_true", help="the file is the body of one message, whatever it looks like")
    route.add_argument("--json", action="store_true", help="print a JSON object for each message")

    doctor = commands.add_parser(
        "doctor", help="run inside a task: check how events and users get to a stream, and say what to fix"
    )
    for command in (tail, doctor):
        command.add_argument(
            "--url",
            type=_address,
            default="http://127.0.0.1:8000",
            help="the address of `serve` [http://127.0.0.1:8000]",
        )
    return root


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) < 65_536):
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
    return int(text)


def _name(text: str) -> str:
    if not text or not text.isprintable():
        raise argparse.ArgumentTypeError("must not be empty, and must not contain control characters")
    return text


def _recipient(text: str) -> str:
    """Check the name of a user or group. The service refuses tokens and messages that have white space around one."""
    if text != text.strip():
        raise argparse.ArgumentTypeError("must not have white space around it")
    return _name(text)


def _groups(text: str) -> list[str]:
    groups = [_name(name.strip()) for name in text.split(",") if name.strip()]
    if len(groups) > MAX_GROUPS:
        raise argparse.ArgumentTypeError(f"must be at most {MAX_GROUPS} groups")
    return groups


def _ttl(text: str) -> int:
    seconds = durations.parse(text)
    if not seconds or seconds > MAX_TTL_DAYS * 86_400:
        raise argparse.ArgumentTypeError(f"must be a time such as 30s, 10m, 1h or 1d, at most {MAX_TTL_DAYS}d")
    return seconds


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        # The address must be usable in a request, and the host in a DNS query.
        valid = valid and text.isprintable() and " " not in text and parts.path.isascii()
        (parts.hostname or "").encode("idna")
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or parts.username is not None:
        raise argparse.ArgumentTypeError("must be an address such as http://127.0.0.1:8000")
    return text.rstrip("/")
