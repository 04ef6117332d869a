"""A service that trusts a provider, as an attacker sees it from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sse_service.auth.tokens.signing import TokenSigner
from tests.identity.outside import Outside, outside
from tests.identity.provider_process import ProviderProcess, provider
from tests.identity.tokens import AUDIENCE
from tests.integration.chain import AWS, SECRET, Chain, queue_stub, serve
from tests.integration.process import DEADLINE

EVENT_SOURCE = {"Accept": "text/event-stream"}
SESSION = "sse_session"
PAUSE = 0.05
"""Seconds between two looks at something that may take half a minute."""

OPENED = "opened"
UNAUTHORIZED = "401"
OVERLOAD = "overload"
"""What cannot be judged now: 503 with Retry-After, and to an EventSource 200 with one ``stream.close``."""


@dataclass(kw_only=True)
class Target:
    """A running service with its provider. All that it asks outside is recorded."""

    chain: Chain
    provider: ProviderProcess
    outside: Outside
    issuers: Sequence[str]
    """The names of the issuers that it trusts."""
    own_back_end: TokenSigner = field(default_factory=lambda: TokenSigner(secret=SECRET, audience=AUDIENCE))

    def answer(self, *headers: tuple[str, str]) -> str:
        """Ask for a stream as an EventSource and as curl, and return the answer. Both must get the same one."""
        answers = {self._answer([*headers, ("Accept", accept)]) for accept in ("text/event-stream", "*/*")}
        assert len(answers) == 1, answers
        return answers.pop()

    def answer_to(self, token: str) -> str:
        """The answer to a token, which is the same in the header, in the cookie, and to ``POST /session``."""
        answer = self.answer(("Authorization", f"Bearer {token}"))
        assert self.answer(("Cookie", f"{SESSION}={token}")) == answer
        session = self.chain.client.post(f"{self.chain.url}/session", headers={"Authorization": f"Bearer {token}"})
        statuses = {OPENED: 204, UNAUTHORIZED: 401, OVERLOAD: 503}
        assert session.status_code == statuses[answer], session.text
        assert ("set-cookie" in session.headers) == (answer == OPENED)
        return answer

    def _answer(self, headers: list[tuple[str, str]]) -> str:
        with self.chain.client.stream("GET", f"{self.chain.url}/events", headers=headers) as response:
            if response.status_code == 200:
                text = ""
                for more in response.iter_text():
                    text += more
                    if "\n\n" in text:
                        break
                if "event: stream.ready" in text:
                    return OPENED
                assert "event: stream.close" in text, text
                assert '"reconnect":true' in text, text
                assert text.count("event:") == 1, text
                return OVERLOAD
            response.read()
            assert response.headers["content-type"] == "application/problem+json"
            if response.status_code == 503:
                assert int(response.headers["retry-after"]) > 0
                return OVERLOAD
            return str(response.status_code)

    def detail(self, token: str) -> str:
        """What the refusal of a token says."""
        response = self.chain.get("/events", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code >= 400, "the stream was opened"
        detail: str = response.json()["detail"]
        return detail

    def wait_for(self, issuer: str, answer: str = OPENED) -> None:
        """Wait until good tokens of an issuer get this answer."""
        until = time.monotonic() + DEADLINE
        while (found := self._answer([("Authorization", f"Bearer {self.provider.token(issuer)}")])) != answer:
            time.sleep(PAUSE)
            assert time.monotonic() < until, f"{issuer}: {found}\n{self.chain.process.output}"

    def trouble(self, issuer: str) -> str | None:
        """What ``/readyz`` says about an issuer."""
        found: dict[str, str] = self.chain.get("/readyz").json()["dependencies"]
        text = found[f"issuer {self.provider.issuer(issuer)}"]
        return None if text == "ok" else text

    def wait_for_trouble(self, issuer: str) -> str:
        """What ``/readyz`` says about an issuer whose keys cannot be fetched, after the service has tried."""
        until = time.monotonic() + DEADLINE
        while not (found := self.trouble(issuer)) or "not been fetched yet" in found:
            time.sleep(PAUSE)
            assert time.monotonic() < until, found
        return found

    @property
    def asked_outside(self) -> list[str]:
        """All that the service asked for, except the documents of the issuers that it trusts."""
        urls = [self.provider.issuer(name) for name in self.issuers]
        known = [f"{url}/{path}" for url in urls for path in (".well-known/openid-configuration", "keys")]
        return self.outside.asked_other_than(*known)


@contextmanager
def environment(
    directory: Path, *issuers: str, others: Sequence[str] = ()
) -> Iterator[tuple[ProviderProcess, Outside, str]]:
    """Run all that a service needs: a provider, a view of what goes outside, and a queue."""
    with provider(directory, *issuers, others=others) as login, outside() as out, queue_stub() as queue:
        yield login, out, queue


@contextmanager
def target(
    login: ProviderProcess, out: Outside, queue: str, issuers: Sequence[str], **settings: str
) -> Iterator[Target]:
    """Run a service that trusts these issuers and its own back end. It may not be ready."""
    env = {
        **AWS,
        **out.environment,
        "AWS_ENDPOINT_URL": queue,
        "SSE_QUEUE_URL": f"{queue}/000000000000/events",
        "SSE_JWT_SECRET": SECRET,
        "SSE_JWT_AUDIENCE": AUDIENCE,
        "SSE_OIDC_ISSUERS": ",".join(map(login.issuer, issuers)),
        "SSE_SINGLE_TASK": "true",
        "SSE_SQS_POLLERS": "1",
        "SSE_DRAIN_SECONDS": "1",
        "SSE_ADMIN_PORT": "0",
        "SSE_LOG_FORMAT": "text",
        # The same user opens many streams here.
        "SSE_OPENS_PER_SECOND": "0",
        **{f"SSE_{name.upper()}": value for name, value in settings.items()},
    }
    with serve(queue, env) as chain:
        yield Target(chain=chain, provider=login, outside=out, issuers=issuers)
