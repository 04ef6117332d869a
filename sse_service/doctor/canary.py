"""One event, published for a user that nobody is, and waited for on that user's stream."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_service.doctor.report import Finding, fail, ok, skip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sse_service.doctor.calls import Fault
    from sse_service.doctor.stream import Heard, Opening
    from sse_service.settings.settings import Settings

USER = "sse-service-doctor"
"""Reserved: no real user may have this id, or would be shown every canary of the last ``SSE_HISTORY_SECONDS``."""

_OVERRIDES = ("route_user", "route_group", "route_broadcast", "route_id", "route_data")
"""What would send it elsewhere, to everybody at worst, or make another event of it."""


@dataclass(frozen=True, slots=True)
class Canary:
    """The event; its id is in its data, by which it is known on the stream."""

    id: str

    @property
    def message(self) -> str:
        """What SNS is given."""
        return json.dumps(self.body)

    @property
    def body(self) -> Mapping[str, str]:
        """The message's JSON."""
        return {"user_id": USER, "canary": self.id}

    @property
    def attributes(self) -> dict[str, str]:
        """The message's attributes."""
        return {"user_id": USER, "event_type": USER, "event_id": self.id}


def make() -> Canary:
    """One that no other is like."""
    return Canary(f"{USER}-{secrets.token_hex(8)}")


def judge_overrides(settings: Settings) -> Finding | None:
    """A finding where the canary must not be sent."""
    named = [f"SSE_{name.upper()}" for name in _OVERRIDES if getattr(settings, name) is not None]
    if not named:
        return None
    return skip(
        "canary", f"{', '.join(named)} decides what becomes of events: publish one of yours, and watch it by curl"
    )


def judge_opening(url: str, opening: Opening) -> Finding | None:
    """Why there is no stream to wait on; None where there is."""
    if opening.status is None:
        do = "start `serve`, or give its address by --url"
        return fail("canary", f"nothing answers at {url} ({opening.detail})", do)
    if opening.status == 401:
        do = "give it and this command the same SSE_JWT_SECRET, _ISSUER and _AUDIENCE, and start it again"
        return fail("canary", "401: the service takes no token signed with the first SSE_JWT_SECRET", do)
    if opening.status == 503:
        do = "try again; where it stays so, see sse_requests_refused_total (deploy/README, Watching it)"
        return fail("canary", f"503: the service takes no stream now ({opening.detail or 'it does not say why'})", do)
    if opening.status != 200 or opening.detail == "no event stream":
        said = f": {opening.detail}" if opening.detail else ""
        return fail("canary", f"{url}/events answers {opening.status}{said}", "give the service's address by --url")
    if not opening.ready:
        why = f" ({opening.detail})" if opening.detail else ""
        return fail(
            "canary", f"the stream opened, but was not ready in time{why}", f"see store above, and {url}/readyz"
        )
    return None


def judge_publish(fault: Fault) -> Finding:
    """SNS did not take it."""
    do = "look at SSE_TOPIC_ARN"
    if fault.denied:
        do = "allow the role sns:Publish on the topic, and kms:GenerateDataKey* and kms:Decrypt where it is encrypted"
    elif fault.unreachable:
        do = "give the subnet a NAT or a VPC endpoint for sns"
    return fail("canary", f"publishing was refused ({fault.code})", do)


def judge_heard(heard: Heard, *, message_id: str, seconds: float, suspects: Sequence[str]) -> Finding:
    """``suspects`` are the checks that found something before."""
    if heard.seconds is not None:
        return ok("canary", f"published and received after {heard.seconds:.2f} s")
    what = f"published as {message_id}, and not received within {seconds:.0f} s"
    if heard.ended:
        what = f"published as {message_id}, and the stream ended before it came ({heard.ended})"
    if suspects:
        return fail("canary", what, f"see {', '.join(suspects)} above")
    do = "look for a second reader of the queue, and go by deploy/README, My event did not arrive"
    return fail("canary", what, do)
