"""Runs the OpenID provider as a process, and changes what it does while it runs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.identity.keys import SigningKey
from tests.identity.tokens import claims_of, token
from tests.integration.process import Process


class ProviderProcess:
    """The provider. It can be killed, and started again on its port with its keys."""

    def __init__(self, directory: Path, issuers: Sequence[str], *, others: Sequence[str] = ()) -> None:
        """``others`` are issuers with an ES256 key alone, because many RSA keys take long to make."""
        self._directory = directory
        self._process: Process | None = None
        self._port = 0
        self.keys: dict[str, list[SigningKey]] = {
            **{name: [SigningKey.generate("RS256"), SigningKey.generate("ES256")] for name in issuers},
            **{name: [SigningKey.generate("ES256")] for name in others},
        }
        """The published keys of each issuer. The first one signs what the token endpoint issues."""
        self._state: dict[str, dict[str, Any]] = {
            name: {"max_age": 300, "token_seconds": 600, "redirect_uris": [], "instead": {}} for name in self.keys
        }
        self._write()

    def start(self) -> None:
        self._process = Process("tests.identity.provider", str(self._directory), "--port", str(self._port))
        self._port = int(self._process.wait_for(r"provider at http://localhost:(\d+)")[1])

    def kill(self) -> None:
        """End the process as a crash does."""
        if self._process is not None:
            with self._process as process:
                process.signal(signal.SIGKILL)
                process.wait()
            self._process = None

    @property
    def origin(self) -> str:
        return f"http://localhost:{self._port}"

    def issuer(self, name: str) -> str:
        return f"{self.origin}/{name}"

    def token(self, name: str, user: str = "42", *, key: int = 0, seconds: int = 600, **changes: Any) -> str:
        """Make an access token of an issuer. The keyword arguments change its claims."""
        return token(self.keys[name][key], claims_of(self.issuer(name), user, seconds=seconds, **changes))

    def rotate(self, name: str) -> SigningKey:
        """Sign with a new key from now on. The earlier ones stay published, as real providers do it."""
        new = SigningKey.generate("RS256")
        self.keys[name].insert(0, new)
        self._write()
        return new

    def publish(self, name: str, *keys: SigningKey) -> None:
        """Add keys to the key set of an issuer. They sign nothing by themselves."""
        self.keys[name] += keys
        self._write()

    def configure(self, name: str, **settings: Any) -> None:
        """Change the settings of an issuer: max_age, token_seconds, redirect_uris."""
        self._state[name] |= settings
        self._write()

    def answer(
        self,
        name: str,
        what: str,
        body: object = "",
        *,
        status: int = 200,
        drip: float = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with this instead of the ``discovery`` document or the ``keys``: one byte each ``drip`` seconds."""
        text = body if isinstance(body, str) else json.dumps(body)
        head = {"Content-Type": "application/json", **(headers or {})}
        self._state[name]["instead"][what] = {"status": status, "headers": head, "body": text, "drip": drip}
        self._write()

    def behave(self, name: str) -> None:
        """Answer with the true documents again."""
        self._state[name]["instead"] = {}
        self._write()

    @property
    def requests(self) -> list[str]:
        """All requests so far, such as ``GET /one/keys``."""
        return [request for _, request in self._log()]

    def fetched(self, name: str) -> list[float]:
        """When the keys of an issuer were fetched, in seconds since 1970."""
        return [at for at, request in self._log() if request == f"GET /{name}/keys"]

    def _log(self) -> list[tuple[float, str]]:
        log = self._directory / "requests.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(float(at), request) for at, _, request in (line.partition(" ") for line in lines)]

    def _write(self) -> None:
        state = {
            name: {**state, "keys": [key.to_file() for key in self.keys[name]]} for name, state in self._state.items()
        }
        # In one step, because the process may read the file at any time.
        new = self._directory / "provider.new"
        new.write_text(json.dumps(state))
        os.replace(new, self._directory / "provider.json")


@contextmanager
def provider(directory: Path, *issuers: str, others: Sequence[str] = ()) -> Iterator[ProviderProcess]:
    """Run a provider with these issuers. ``others`` have no RSA key."""
    running = ProviderProcess(directory, issuers, others=others)
    running.start()
    try:
        yield running
    finally:
        running.kill()
