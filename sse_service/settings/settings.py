"""What an operator can set, read once from the environment and checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sse_service.model.errors import InvalidSettings
from sse_service.settings import forms

PREFIX = "SSE_"


class Settings(BaseSettings):
    """Frozen. Environment names are the fields' in upper case after ``SSE_``; an empty one is unset.

    Raises InvalidSettings. Given by keyword, a value stands before the environment's.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_default=False,
    )

    queue_url: Annotated[str, AfterValidator(forms.queue)] = ""
    """URL of the standard SQS queue that is read; `serve` needs it."""
    topic_arn: Annotated[
        str, forms.form(forms.TOPIC, "a topic's ARN, as arn:aws:sns:eu-west-1:123456789012:events")
    ] = ""
    """ARN of the SNS topic to which `publish` sends."""
    single_task: Annotated[bool, BeforeValidator(forms.word)] = False
    """`true` says that no second task reads the queue, not even during a deploy; the memory broker needs it."""
    broker_url: Annotated[SecretStr, AfterValidator(forms.broker)] = SecretStr("memory://")
    """Where history is kept: `memory://`, in the process, or a Valkey or Redis server as `redis://` or `rediss://`."""
    broker_password: SecretStr | None = None
    """Password of the server in `SSE_BROKER_URL`, where it is not in the URL, so that only it need be kept secret."""
    jwt_secret: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(forms.secret)], ...], NoDecode, BeforeValidator(forms.secrets)
    ] = ()
    """Secrets for HS256 tokens, separated by commas, each at least 32 bytes: the first signs, all verify."""
    jwt_issuer: str | None = None
    """What a token's `iss` must be; unset, any."""
    jwt_audience: str | None = None
    """What a token's `aud` must name; unset, a token that has one is refused."""
    user_claim: str = "sub"
    """The token's claim that holds the user's id."""
    groups_claim: str = "groups"
    """The token's claim that holds the list of the user's groups."""
    cookie_name: Annotated[str, forms.form(forms.COOKIE, "letters, digits, - and _")] = "sse_session"
    """Name of the session cookie."""
    cookie_samesite: Annotated[Literal["lax", "strict", "none"], BeforeValidator(forms.word)] = "lax"
    """The cookie's `SameSite`: `lax`, `strict` or `none`; browsers take `none` only over HTTPS."""
    cookie_domain: Annotated[str, forms.form(forms.DOMAIN, "a host's name, as example.com")] | None = None
    """The cookie's `Domain`; unset, the cookie is for the service's own host only."""
    s3_key_pattern: Annotated[str, AfterValidator(forms.key_pattern)] | None = None
    """Where the user's id stands in an S3 key, as `users/{user}/*`; unset, S3 notifications name nobody."""
    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(forms.origin)], ...], NoDecode, BeforeValidator(forms.items)
    ] = ()
    """Origins whose pages may open streams, separated by commas, as `https://app.example.com`."""
    trusted_proxies: Annotated[
        tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(forms.network)], ...],
        NoDecode,
        BeforeValidator(forms.items),
    ] = ()
    """Networks of proxies whose `X-Forwarded-*` are believed, separated by commas, as `10.0.0.0/16`."""
    heartbeat_seconds: Annotated[int, AfterValidator(forms.heartbeat)] = 15
    """Seconds of silence after which a stream gets a comment; at most 50, as an ALB cuts after 60 s without a byte."""
    history_events: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Events that are kept for each channel."""
    history_seconds: Annotated[int, Field(ge=1, le=14 * 86_400)] = 3600
    """Seconds that an event is kept; at most 14 days, as in SQS."""
    history_bytes: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    """Bytes of memory that the events of all channels together may take."""
    dedupe_seconds: Annotated[int, Field(ge=1, le=14 * 86_400)] = 900
    """Seconds in which an event that comes again is one; at least the queue's visibility timeout x maxReceiveCount."""
    max_event_bytes: Annotated[int, Field(ge=1, le=8 * 1024 * 1024)] = 262_144
    """Bytes of an event's encoded `data:` lines; a larger one goes to the dead-letter queue."""
    stream_queue_events: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Events that wait for one slow reader before it is served from history."""
    stream_queue_bytes: Annotated[int, Field(ge=1)] = 262_144
    """Bytes that wait for one slow reader before it is served from history."""
    max_streams: Annotated[int, Field(ge=1)] = 10_000
    """Streams that this task holds open; more are told to come back."""
    max_streams_per_user: Annotated[int, Field(ge=1)] = 20
    """Streams that one user has in this task; one more ends the oldest, or is told to come back where it resumes."""
    max_streams_per_address: Annotated[int, Field(ge=1)] | None = None
    """Streams from one address (of IPv6: one /64); unset, any number. Behind a proxy it needs `SSE_TRUSTED_PROXIES`."""
    opens_per_second: Annotated[int, Field(ge=0)] = 1000
    """Streams that may be opened a second, and twice as many at once; more are told to come back. 0 is no limit."""
    stream_max_age_seconds: Annotated[int, Field(ge=1)] = 14_400
    """Seconds after which a stream is ended, to come back; jittered down to 80 %, so that they do not come together."""
    drain_seconds: Annotated[int, Field(ge=0, le=110)] = 20
    """Seconds over which streams are closed after SIGTERM; at most 110, as ECS kills after at most 120 s."""
    sqs_pollers: Annotated[int, Field(ge=1, le=16)] = 2
    """Long polls side by side, at most, each for up to 10 messages; an idle queue has one."""
    sqs_fast_path: Annotated[bool, BeforeValidator(forms.word)] = True
    """`false` sends every SQS call through aiobotocore alone, which costs about four times the CPU for each message."""
    admin_port: Annotated[int, Field(ge=0, le=65_535)] = 8001
    """Port of `/metrics` and of the operator's page; 0 takes any that is free."""
    admin_host: str = "127.0.0.1"
    """Address on which the admin port listens."""
    emf_namespace: (
        Annotated[str, forms.form(forms.NAMESPACE, "1 to 255 letters, digits and .-_/#: as sse-service/prod")] | None
    ) = None
    """CloudWatch namespace: set, figures are written to stdout once a minute in the embedded metric format."""
    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(forms.word)] = "info"
    """`debug`, `info`, `warning`, `error` or `critical`; at `debug` one line for each event."""
    log_format: Annotated[Literal["json", "text"], BeforeValidator(forms.word)] = "json"
    """`json`, one object a line, or `text`."""
    route_user: forms.Expression = None
    """JMESPath that alone gives the users: a string, an integer, or a list of these."""
    route_group: forms.Expression = None
    """JMESPath that alone gives the groups: a string, an integer, or a list of these."""
    route_broadcast: forms.Expression = None
    """JMESPath that alone says whether the event is for everyone: `true` or `"true"`."""
    route_type: forms.Expression = None
    """JMESPath that alone gives the event's type, a string."""
    route_subject: forms.Expression = None
    """JMESPath that alone gives the event's subject, a string."""
    route_data: forms.Expression = None
    """JMESPath that alone gives the event's data, of any kind."""
    route_id: forms.Expression = None
    """JMESPath that alone gives the event's id, a string or an integer."""
    unrouted: Annotated[Literal["dead-letter", "discard"], BeforeValidator(forms.word)] = "dead-letter"
    """What happens to a message that names nobody: `dead-letter` or `discard`."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            # From None: the chained error would hold what was set, secrets included.
            raise InvalidSettings("; ".join(_lines(error))) from None

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if not isinstance(value, str) or value.strip()}

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        if self.history_bytes < self.max_event_bytes:
            raise ValueError("SSE_HISTORY_BYTES: must be at least SSE_MAX_EVENT_BYTES, or a large event is never kept")
        if self.broker_password is not None and (self.in_memory or urlsplit(self._broker_url).password):
            raise ValueError("SSE_BROKER_PASSWORD: is for a server in SSE_BROKER_URL that has no password there")
        if self.cookie_name.startswith("__Host-") and self.cookie_domain is not None:
            raise ValueError("SSE_COOKIE_DOMAIN: must be unset, as browsers refuse a __Host- cookie with a domain")
        return self

    @property
    def in_memory(self) -> bool:
        """Whether history lives in the process."""
        return self._broker_url == "memory://"

    @property
    def store_url(self) -> str:
        """Where history is kept, with the password: a secret."""
        if self.broker_password is None:
            return self._broker_url
        parts = urlsplit(self._broker_url)
        user, _, host = parts.netloc.rpartition("@")
        password = quote(self.broker_password.get_secret_value(), safe="")
        return parts._replace(netloc=f"{user}:{password}@{host}").geturl()

    @property
    def _broker_url(self) -> str:
        return self.broker_url.get_secret_value()

    def require(self, *names: str) -> None:
        """Raise InvalidSettings, with the variables' names, where one of these fields is not set."""
        if missing := [PREFIX + name.upper() for name in names if not getattr(self, name)]:
            raise InvalidSettings("; ".join(f"{name}: must be set" for name in missing))

    def for_serving(self) -> None:
        """Raise InvalidSettings where `serve` could not keep its promises with these settings."""
        self.require("queue_url", "jwt_secret")
        if self.in_memory and not self.single_task:
            raise InvalidSettings(
                "SSE_SINGLE_TASK: must be true with SSE_BROKER_URL=memory://, and then this must be the queue's only "
                "reader, also during a deploy: a second one would take events that the streams here never see"
            )


def unknown(environ: Mapping[str, str]) -> list[str]:
    """The names in the environment that look like settings and are none."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in environ if name.upper().startswith(PREFIX) and name.upper() not in known)


def table() -> list[tuple[str, str, str]]:
    """Each setting's variable, its default (empty where it is unset), and its meaning."""
    return [
        (PREFIX + name.upper(), _default(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return "" if value in (None, ()) else str(value)


def _lines(error: ValidationError) -> list[str]:
    """One text for each variable that is wrong, none of them with its value."""
    found = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        text = item["msg"].removeprefix("Value error, ").replace("Input should ", "must ", 1)
        found.append(f"{PREFIX}{str(item['loc'][0]).upper()}: {text}" if item["loc"] else text)
    return list(dict.fromkeys(found))
