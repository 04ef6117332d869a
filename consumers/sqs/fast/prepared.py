"""What stays the same from call to call: a call as aiobotocore prepares it, without its body."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from consumers.sqs.fast.eligible import plain_call
from consumers.sqs.fast.pool import Transport
from consumers.sqs.fast.signer import Credentials, Signer


class Prepared(Exception):  # noqa: N818  names what happened
    """Carries a call out of aiobotocore when all but its signature is there."""

    def __init__(self, *, request: dict[str, Any], signer: Any, context: dict[str, Any], model: Any) -> None:
        super().__init__()
        self.request = request
        self.signer = signer
        self.context = context
        self.model = model


class Form(NamedTuple):
    """How calls of one operation with parameters of the same names are sent."""

    url: str
    transport: Transport
    signer: Signer
    model: Any
    """botocore's description of the operation, which handlers of its events are given."""
    keys: Any
    """aiobotocore's own signer: it has the credentials."""

    async def credentials(self) -> Credentials | None:
        """What aiobotocore would sign with now; it refreshes them where their end is near.

        None also for what is no header's value: a line end would end the head.
        """
        auth = await self.keys.get_auth_instance(self.signer.service, self.signer.region, "v4")
        found: Credentials | None = auth.credentials
        return found if found is not None and f"{found.access_key}{found.token or ''}".isprintable() else None


def form(prepared: Prepared, params: dict[str, Any], connections: Callable[[str], Transport | None]) -> Form | None:
    """The form of a call with these parameters; None where it is not plain."""
    request, keys = prepared.request, prepared.signer
    transport = connections(request["url"])
    if transport is None or not plain_call(request, prepared.context) or not _says(request["body"], params):
        return None
    signer = Signer(request["headers"], host=transport.host, region=keys.region_name, service=keys.signing_name)
    return Form(request["url"], transport, signer, prepared.model, keys)


def _says(body: bytes, params: dict[str, Any]) -> bool:
    """Whether a body is the parameters as JSON, under their own names: botocore speaks other protocols too."""
    try:
        return bool(json.loads(body) == params)
    except ValueError:
        return False
