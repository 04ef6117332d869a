"""Calls to AWS: an answer, or a Fault in place of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Self

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as ConnectionFault

from consumers.sqs.failures import AWS_ERRORS, CREDENTIAL_CODES

_DENIED = frozenset(
    {"403", "AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException"}
    | {"KMS.AccessDeniedException", "KMSAccessDenied", "KMSAccessDeniedException", "UnauthorizedOperation"}
)
_ABSENT = frozenset(
    {"404", "AWS.SimpleQueueService.NonExistentQueue", "NotFound", "NotFoundException", "QueueDoesNotExist"}
)

_CREDENTIALS = (
    "unset AWS_CONTAINER_CREDENTIALS_FULL_URI, and AWS_CONTAINER_AUTHORIZATION_TOKEN with it: ECS needs neither; else "
    "they must be this host's or the platform's"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no answer: AWS's code or the exception's class, never its text, which may quote a request."""

    code: str
    unreachable: bool = False
    """Nothing answered."""
    do: str = ""
    """What mends it, where the environment is to blame, and nobody was asked."""

    @property
    def denied(self) -> bool:
        """Whether the role lacks a permission."""
        return self.code in _DENIED

    @property
    def absent(self) -> bool:
        """Whether what was asked for is not there."""
        return self.code in _ABSENT

    @property
    def credentials(self) -> bool:
        """Whether there are no credentials, or none that AWS takes."""
        return self.code in CREDENTIAL_CODES or self.do == _CREDENTIALS


Answer = Mapping[str, Any] | Fault


class Calls:
    """Asks AWS with the credentials of this process; ``skew`` comes with the first answer that has a date."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._session = AioSession()
        self._clients: dict[str, Any] = {}
        self._stack = AsyncExitStack()
        self.skew: float | None = None
        """Seconds that the local clock is ahead of AWS's."""

    async def ask(self, service: str, operation: str, **parameters: Any) -> Answer:
        """Call an operation by its name in botocore; every fault is a Fault."""
        sent = time.time()
        try:
            client = await self._client(service)
            answer: Mapping[str, Any] = await getattr(client, operation)(**parameters)
        except ClientError as error:
            self._date(error.response, sent)
            return fault(error)
        except (*AWS_ERRORS, RuntimeError) as error:
            return fault(error)
        except ValueError as error:
            return Fault(type(error).__name__, do=await self._mending(service))
        self._date(answer, sent)
        return answer

    async def _mending(self, service: str) -> str:
        """What to do about a ValueError, with which botocore takes none of what it was set up with."""
        try:
            await self._session.get_credentials()
        except ValueError:
            return _CREDENTIALS
        if service in self._clients:
            return "look for stray characters in AWS_SECRET_ACCESS_KEY and its companions"
        name = f"AWS_ENDPOINT_URL_{service.upper()}"
        return f"unset {name} and AWS_ENDPOINT_URL, or set them to an address as https://vpce.example.com"

    async def _client(self, service: str) -> Any:
        if service not in self._clients:
            config = AioConfig(
                connect_timeout=3,
                read_timeout=10,
                retries={"mode": "standard", "total_max_attempts": 2},
                parameter_validation=False,
                user_agent="sse-service-doctor",
            )
            made = self._session.create_client(service, region_name=self._region, config=config)
            self._clients[service] = await self._stack.enter_async_context(made)
        return self._clients[service]

    def _date(self, answer: Mapping[str, Any], sent: float) -> None:
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if self.skew is None and date:
            self.skew = skew(str(date), sent=sent, received=time.time())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def fault(error: Exception) -> Fault:
    """What an exception of botocore says."""
    if isinstance(error, ClientError):
        return Fault(str(error.response.get("Error", {}).get("Code") or "no code"))
    return Fault(type(error).__name__, unreachable=isinstance(error, ConnectionFault | HTTPClientError | OSError))


def skew(date: str, *, sent: float, received: float) -> float | None:
    """Seconds that the local clock is ahead; 0 where the date lies within the call, to the second that it tells."""
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    if received < theirs:
        return received - theirs
    return max(sent - (theirs + 1), 0.0)
