"""A call that aiobotocore prepared once. Later calls reuse all of it except the body and the signature."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from consumers.sqs.fast.connection_pool import ConnectionPool
from consumers.sqs.fast.eligibility import Ineligible, check_event
from consumers.sqs.fast.signer import Credentials, Signer


class CapturedCall(Exception):  # noqa: N818  carries a call, and is no error
    """Raised by a ``before-call`` handler, to get a prepared call out of aiobotocore. ``event`` has its arguments."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        super().__init__()
        self.event = event


class PreparedCall(NamedTuple):
    """Everything needed to send calls of one operation with the same parameter names."""

    url: str
    pool: ConnectionPool
    signer: Signer
    model: Any
    """botocore's description of the operation, which its event handlers expect."""
    request_signer: Any
    """aiobotocore's own signer, which has the credentials."""

    async def credentials(self) -> Credentials | None:
        """Return the credentials with which aiobotocore would sign now. It refreshes them if they are about to expire.

        Return None if there are none, or if they contain a line end, which would inject a header.
        """
        auth = await self.request_signer.get_auth_instance(self.signer.service, self.signer.region, "v4")
        found: Credentials | None = auth.credentials
        return found if found is not None and f"{found.access_key}{found.token or ''}".isprintable() else None


def prepare(captured: CapturedCall, params: dict[str, Any], pool_for: Callable[[str], ConnectionPool]) -> PreparedCall:
    """Make the PreparedCall for a captured call with these parameters. Raises Ineligible."""
    check_event(captured.event)
    request, request_signer = captured.event["params"], captured.event["request_signer"]
    pool = pool_for(request["url"])
    if not _is_json_of(request["body"], params):
        raise Ineligible("a request's body is not its parameters as JSON")
    signer = Signer(
        request["headers"], host=pool.host, region=request_signer.region_name, service=request_signer.signing_name
    )
    return PreparedCall(request["url"], pool, signer, captured.event["model"], request_signer)


def _is_json_of(body: bytes, params: dict[str, Any]) -> bool:
    """Whether a body is exactly the parameters as JSON. botocore also has other protocols, such as query and CBOR."""
    try:
        return bool(json.loads(body) == params)
    except ValueError:
        return False
