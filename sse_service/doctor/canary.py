"""``canary``: publishes one event for a reserved user, and waits for it on that user's stream."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from consumers.sqs.failures import AWS_ERRORS
from sse_service import aws
from sse_service.doctor.aws_calls import fault
from sse_service.doctor.report import Finding, fail, ok, skip
from sse_service.doctor.stream import Stream
from sse_service.identity import signer_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sse_service.doctor.aws_calls import Fault
    from sse_service.doctor.stream import OpenResult, WaitResult
    from sse_service.settings.settings import Settings

USER = "sse-service-doctor"
"""Reserved: a real user with this id would be shown every canary of the last ``SSE_HISTORY_SECONDS``."""

WAIT_SECONDS = 30.0
"""How long to wait for the canary."""

READY_SECONDS = 10.0
"""How long to wait for ``stream.ready``."""

TOKEN_SECONDS = 120

NO_SECRET = (
    f"it is for the user {USER}, and without SSE_JWT_SECRET there is no token for that user: publish an event to your "
    "own user, and watch it with curl"
)

_OVERRIDES = ("route_user", "route_group", "route_broadcast", "route_id", "route_data")
"""Settings that would send the canary to others, in the worst case to everybody, or change its id or data."""


@dataclass(frozen=True, slots=True)
class Canary:
    """The event. Its data contains its id, so that it is found in the stream."""

    id: str

    @property
    def message(self) -> str:
        """The message for SNS."""
        return json.dumps(self.body)

    @property
    def body(self) -> Mapping[str, str]:
        """The message's JSON."""
        return {"user_id": USER, "canary": self.id}

    @property
    def attributes(self) -> dict[str, str]:
        """The message's attributes."""
        return {"user_id": USER, "event_type": USER, "event_id": self.id}


def new_canary() -> Canary:
    """Make a canary with a new id."""
    return Canary(f"{USER}-{secrets.token_hex(8)}")


async def check_canary(
    settings: Settings, canary: Canary, *, url: str, suspects: Sequence[str], wait_seconds: float = WAIT_SECONDS
) -> Finding:
    """Publish the canary and wait for it. ``suspects`` are the earlier checks that warned or failed."""
    if finding := check_overrides(settings):
        return finding
    if not settings.jwt_secret:
        return skip("canary", NO_SECRET)
    token = signer_of(settings).sign(USER, ttl_seconds=TOKEN_SECONDS)
    with Stream(url, token) as stream:
        opened = await asyncio.to_thread(stream.open, ready_seconds=READY_SECONDS)
        if finding := check_opened(url, opened):
            return finding
        began = time.monotonic()
        try:
            message_id = await aws.publish(settings.topic_arn, canary.message, canary.attributes)
        except (*AWS_ERRORS, RuntimeError, ValueError) as error:
            return explain_publish(fault(error))
        waited = await asyncio.to_thread(stream.wait, canary.id, seconds=wait_seconds)
    if waited.seconds is not None:
        waited = replace(waited, seconds=time.monotonic() - began)
    return check_received(waited, message_id=message_id, seconds=wait_seconds, suspects=suspects)


def check_overrides(settings: Settings) -> Finding | None:
    """Return a finding if no canary must be sent; None if it may be sent."""
    named = [f"SSE_{name.upper()}" for name in _OVERRIDES if getattr(settings, name) is not None]
    if not named:
        return None
    text = f"{', '.join(named)} changes how events are routed: publish an event of your own and watch it with curl"
    return skip("canary", text)


def check_opened(url: str, opened: OpenResult) -> Finding | None:
    """Return a finding if the stream did not open; None if it did."""
    if opened.status is None:
        fix = "start `serve`, or give its address with --url"
        return fail("canary", f"nothing answers at {url} ({opened.detail})", fix)
    if opened.status == 401:
        fix = "give `serve` and this command the same SSE_JWT_SECRET, _ISSUER and _AUDIENCE, and restart `serve`"
        return fail("canary", "401: the service refuses a token that is signed with the first SSE_JWT_SECRET", fix)
    if opened.status == 503:
        text = f"503: the service accepts no stream now ({opened.detail or 'it does not say why'})"
        return fail("canary", text, "try again; if it stays so, look at sse_requests_refused_total")
    if opened.status != 200 or opened.detail == "no event stream":
        said = f": {opened.detail}" if opened.detail else ""
        return fail("canary", f"{url}/events answers {opened.status}{said}", "give the service's address with --url")
    if not opened.ready:
        why = f" ({opened.detail})" if opened.detail else ""
        text = f"the stream opened, but was not ready in time{why}"
        return fail("canary", text, f"see store above, and {url}/readyz")
    return None


def explain_publish(fault: Fault) -> Finding:
    """Say why SNS did not accept the canary."""
    if fault.fix:
        return fail("canary", f"SNS cannot be asked ({fault.code})", fault.fix)
    fix = "check SSE_TOPIC_ARN"
    if fault.denied:
        fix = "allow the role sns:Publish on the topic, and kms:GenerateDataKey* and kms:Decrypt if it is encrypted"
    elif fault.unreachable:
        fix = "give the subnet a NAT gateway or a VPC endpoint for sns"
    return fail("canary", f"publishing was refused ({fault.code})", fix)


def check_received(waited: WaitResult, *, message_id: str, seconds: float, suspects: Sequence[str]) -> Finding:
    """Report whether the canary came. ``suspects`` are the earlier checks that warned or failed."""
    if waited.seconds is not None:
        return ok("canary", f"published and received after {waited.seconds:.2f} s")
    text = f"published as {message_id}, and not received within {seconds:.0f} s"
    if waited.ended:
        text = f"published as {message_id}, and the stream ended before it came ({waited.ended})"
    if suspects:
        return fail("canary", text, f"see {', '.join(suspects)} above")
    fix = 'look for a second reader of the queue, then see "My event did not arrive" in deploy/incidents.md'
    return fail("canary", text, fix)
