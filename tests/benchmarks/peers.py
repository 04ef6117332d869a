"""The reference implementations that the service is compared with.

``python -m tests.benchmarks.peers textbook PORT``: the app of sse-starlette's documentation, which checks nothing.
``python -m tests.benchmarks.peers floor PORT QUEUE_PORT``: a bare protocol on uvloop that reads the feed and writes
ready bytes: no token, signature, retry, dedupe or history. Nchan, an nginx module in C, by its configuration.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import orjson
import uvicorn
import uvloop
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from tests.benchmarks.http_messages import Messages, target

POLLERS = 2
"""As many as the service has by default."""

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")

NCHAN = """{user}daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log error;
load_module {module};
worker_rlimit_nofile {files};
events {{ worker_connections {connections}; use epoll; multi_accept on; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  nchan_shared_memory_size 1024M;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    nchan_store_messages off;
    nchan_subscriber_first_message newest;
    nchan_eventsource_ping_interval {pings}s;
    location = /own {{ nchan_subscriber eventsource; nchan_channel_id $arg_user; }}
    location = /all {{ nchan_subscriber eventsource; nchan_channel_id all; }}
    location = /publish {{ nchan_publisher; nchan_channel_id all; }}
  }}
}}
"""
"""One worker without a message store: the least that Nchan can cost."""


class MissingError(Exception):
    """Something that the benchmarks need is not installed."""


def nginx() -> str:
    """The nginx program; raises MissingError if it or Nchan is not installed."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or not MODULE.exists():
        raise MissingError(
            "Nchan is missing: apt-get install nginx libnginx-mod-nchan, or leave it out: --without-nchan"
        )
    return program


def nchan(folder: Path, port: int, files: int, pings: int) -> list[str]:
    """Write a configuration and return the command that runs it. ``pings`` are seconds between them; 0 is never."""
    user = "user root;\n" if os.geteuid() == 0 else ""
    text = NCHAN.format(user=user, module=MODULE, files=files, connections=files - 10, port=port, pings=pings)
    (folder / "nginx.conf").write_text(text)
    return [nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]


def textbook(port: int) -> None:
    """One queue per client, and a generator that waits for it."""

    async def events(request: Request) -> EventSourceResponse:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def sent() -> AsyncIterator[ServerSentEvent]:
            while True:
                yield ServerSentEvent(await queue.get())

        return EventSourceResponse(sent())

    app = Starlette(routes=[Route("/events", events)])
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning", backlog=4096)


class Floor(Messages):
    """Streams of users."""

    streams: ClassVar[defaultdict[str, list[asyncio.Transport]]] = defaultdict(list)
    sent = 0

    def message(self, head: bytes, body: bytes) -> None:
        self.streams[str(target(head)[1]["user"])].append(self.transport)
        self.transport.write(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream\r\n\r\n")

    @classmethod
    def deliver(cls, user: str, text: str) -> None:
        """Write an event to the user's streams."""
        cls.sent += 1
        block = b"id: %d\nevent: load.event\ndata: %b\n\n" % (cls.sent, text.encode())
        chunk = b"%x\r\n%b\r\n" % (len(block), block)
        for transport in cls.streams.get(user, ()):
            transport.write(chunk)


class Poller(Messages):
    """Receives ten messages, delivers them and deletes them; sends the next receive together with the delete."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._receive()

    def message(self, head: bytes, body: bytes) -> None:
        answer = orjson.loads(body)
        if "Successful" in answer:
            return
        if messages := answer.get("Messages"):
            for message in messages:
                event = orjson.loads(message["Body"])
                Floor.deliver(event["MessageAttributes"]["user_id"]["Value"], event["Message"])
            entries = [{"Id": message["MessageId"], "ReceiptHandle": message["ReceiptHandle"]} for message in messages]
            self._call(b"DeleteMessageBatch", {"Entries": entries})
        self._receive()

    def _receive(self) -> None:
        self._call(b"ReceiveMessage", {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 20})

    def _call(self, action: bytes, asked: dict[str, Any]) -> None:
        body = orjson.dumps(asked)
        head = b"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.%b\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % (action, len(body)) + body)


async def floor(port: int, queue_port: int) -> None:
    """Run until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Floor, "127.0.0.1", port, backlog=4096)
    for _ in range(POLLERS):
        await loop.create_connection(Poller, "127.0.0.1", queue_port)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "textbook":
        textbook(int(sys.argv[2]))
    else:
        uvloop.run(floor(int(sys.argv[2]), int(sys.argv[3])))
