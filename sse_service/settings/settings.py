"""The settings, read from the environment once and checked before anything starts."""

from __future__ import annotations

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
from sse_service.settings import identity, validators

PREFIX = "SSE_"

SECRETS = ("jwt_secret", "broker_password")
"""Fields from whose values no white space is dropped."""


class Settings(BaseSettings):
    """All settings. A field is read from the variable that has its name in upper case after ``SSE_``.

    An empty variable counts as unset. A keyword argument takes precedence over the environment. Raises InvalidSettings.

    The text below each field is also in the settings table of the documentation. A test compares them.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_default=False,
    )

    queue_url: Annotated[str, AfterValidator(validators.queue)] = ""
    """URL of the standard SQS queue to read. `serve` needs it."""
    topic_arn: Annotated[
        str, validators.matches(validators.TOPIC, "a topic's ARN, such as arn:aws:sns:eu-west-1:123456789012:events")
    ] = ""
    """ARN of the SNS topic to which `publish` sends."""
    single_task: Annotated[bool, BeforeValidator(validators.lower_case)] = False
    """`true` promises that no second task reads the queue, not even during a deploy. The memory broker needs it."""
    broker_url: Annotated[SecretStr, AfterValidator(validators.broker)] = SecretStr("memory://")
    """Where history is kept: `memory://` (this process), or a Valkey or Redis server at `redis://…` or `rediss://…`."""
    broker_password: Annotated[SecretStr, AfterValidator(validators.unpadded)] | None = None
    """Password of the server in `SSE_BROKER_URL`. Set it if the URL has none, so that only the password is a secret."""
    jwt_secret: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(validators.hs256_secret)], ...],
        NoDecode,
        BeforeValidator(validators.split_secrets),
    ] = ()
    """Secrets for HS256 tokens, separated by commas, each at least 32 bytes. The first signs, all verify."""
    jwt_issuer: str | None = None
    """Required `iss` claim of HS256 tokens, and of tokens that keys of `SSE_JWKS_URL` signed. If unset, any."""
    jwt_audience: Annotated[tuple[str, ...], NoDecode, BeforeValidator(validators.split)] = ()
    """Audiences, by commas. A token's `aud`, else `client_id`, must name one. If unset, `aud` is refused."""
    oidc_issuers: Annotated[
        tuple[Annotated[str, AfterValidator(validators.issuer)], ...], NoDecode, BeforeValidator(validators.split)
    ] = ()
    """OpenID providers whose access tokens are accepted, by commas, each exactly as in its tokens' `iss` claim."""
    jwks_url: Annotated[str, AfterValidator(validators.keys_url)] | None = None
    """URL of the keys (JWK set) of the issuer in `SSE_JWT_ISSUER`, if it has no OpenID discovery."""
    jwt_algorithms: Annotated[tuple[identity.Algorithm, ...], NoDecode, BeforeValidator(identity.algorithms)] = (
        "RS256",
        "ES256",
    )
    """Algorithms of tokens that are signed with a provider's key."""
    user_claim: str = "sub"
    """Claim of the token that holds the user's id, a string or an integer, or JMESPath to it."""
    groups_claim: str = "groups"
    """Claim that lists the user's groups, such as `cognito:groups`, or JMESPath, such as `realm_access.roles`."""
    alb_arn: (
        Annotated[
            str,
            validators.matches(
                validators.ALB,
                "the ARN of an Application Load Balancer, such as "
                "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/push/0123456789abcdef",
            ),
        ]
        | None
    ) = None
    """ARN of the Application Load Balancer that signs users in: its `x-amzn-oidc-data` header names the user."""
    authorizer_url: Annotated[str, AfterValidator(validators.authorizer_url)] | None = None
    """URL of your own back end that says who is behind a request's `Cookie` and `Authorization` headers."""
    authorizer: (
        Annotated[str, validators.matches(validators.CALLABLE, "module:callable, such as myapp.push:authorize")] | None
    ) = None
    """`module:callable` of your own code that says who is behind a request."""
    revoked_seconds: Annotated[int, Field(ge=1, le=400 * 86_400)] = 86_400
    """Seconds for which a revoked user's older tokens are refused. At least the longest life of a token."""
    cookie_name: Annotated[str, validators.matches(validators.COOKIE, "letters, digits, - and _")] = "sse_session"
    """Name of the session cookie."""
    cookie_samesite: Annotated[Literal["lax", "strict", "none"], BeforeValidator(validators.lower_case)] = "lax"
    """`SameSite` attribute of the cookie: `lax`, `strict` or `none`. Browsers accept `none` only over HTTPS."""
    cookie_domain: (
        Annotated[str, validators.matches(validators.DOMAIN, "a name with a dot inside, such as example.com")] | None
    ) = None
    """`Domain` attribute of the cookie, such as `example.com`. If unset, the cookie is for this service's host only."""
    s3_key_pattern: Annotated[str, AfterValidator(validators.key_pattern)] | None = None
    """Where the user's id is in an S3 key, such as `users/{user}/*`. If unset, S3 notifications reach nobody."""
    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(validators.origin)], ...], NoDecode, BeforeValidator(validators.split)
    ] = ()
    """Origins whose pages may open streams, separated by commas, such as `https://app.example.com`."""
    trusted_proxies: Annotated[
        tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(validators.network)], ...],
        NoDecode,
        BeforeValidator(validators.split),
    ] = ()
    """Networks of proxies whose `X-Forwarded-*` headers are trusted, such as `10.0.0.0/24,10.0.1.0/24`."""
    heartbeat_seconds: Annotated[int, AfterValidator(validators.heartbeat)] = 15
    """Seconds of silence after which a stream gets a comment. At most 50: an ALB closes after 60 s without a byte."""
    history_events: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Events to keep for each channel."""
    history_seconds: Annotated[int, Field(ge=1, le=14 * 86_400)] = 3600
    """Seconds to keep an event. At most 14 days, as in SQS."""
    history_bytes: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    """Bytes to keep for all channels together."""
    dedupe_seconds: Annotated[int, Field(ge=1, le=14 * 86_400)] = 900
    """Seconds in which a repeated event is dropped. At least the queue's visibility timeout x maxReceiveCount."""
    max_event_bytes: Annotated[int, Field(ge=1, le=8 * 1024 * 1024)] = 262_144
    """Largest event, in bytes of its encoded `data:` lines. A larger one goes to the dead-letter queue."""
    stream_queue_events: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Events that may wait for a slow reader. Beyond that it is served from history."""
    stream_queue_bytes: Annotated[int, Field(ge=1)] = 262_144
    """Bytes that may wait for a slow reader. Beyond that it is served from history."""
    max_streams: Annotated[int, Field(ge=1)] = 10_000
    """Open streams of this task. Further clients are told to come back."""
    max_streams_per_user: Annotated[int, Field(ge=1)] = 20
    """Open streams of one user in this task. One more closes the oldest; one that resumes is told to come back."""
    max_streams_per_address: Annotated[int, Field(ge=1)] | None = None
    """Open streams of one address (IPv6: one /64). Unset, no limit. Behind a proxy, set `SSE_TRUSTED_PROXIES` too."""
    opens_per_second: Annotated[int, Field(ge=0)] = 1000
    """Streams that may open in a second, with bursts of twice that. Others are told to come back. 0 is no limit."""
    stream_max_age_seconds: Annotated[int, Field(ge=1)] = 14_400
    """Seconds after which a stream is closed, and its client comes back. Each stream gets 80 to 100 % of it."""
    drain_seconds: Annotated[int, Field(ge=0, le=110)] = 20
    """Seconds over which streams are closed after SIGTERM. At most 110, as ECS kills a task after at most 120 s."""
    sqs_pollers: Annotated[int, Field(ge=1, le=16)] = 2
    """Most long polls at the same time, each for up to 10 messages. An idle queue has one."""
    sqs_fast_path: Annotated[bool, BeforeValidator(validators.lower_case)] = True
    """`false` sends every SQS call through aiobotocore alone, which costs about four times the CPU for each message."""
    admin_port: Annotated[int, Field(ge=0, le=65_535)] = 8001
    """Port of `/metrics` and of the operator's page. 0 picks a free one."""
    admin_host: str = "127.0.0.1"
    """Address on which the admin port listens."""
    emf_namespace: (
        Annotated[
            str, validators.matches(validators.NAMESPACE, "up to 255 letters, digits and .-_/#: such as push/prod")
        ]
        | None
    ) = None
    """CloudWatch namespace. If set, metrics are written to stdout once a minute in the embedded metric format."""
    otel: Annotated[bool, BeforeValidator(validators.lower_case)] = False
    """`true` sends spans and metrics to an OpenTelemetry collector, as the standard `OTEL_…` variables say."""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(validators.lower_case)
    ] = "info"
    """`debug`, `info`, `warning`, `error` or `critical`. At `debug` there is a line for each event."""
    log_format: Annotated[Literal["json", "text"], BeforeValidator(validators.lower_case)] = "json"
    """`json`, one object for each line, or `text`."""
    route_user: validators.Expression = None
    """JMESPath for the event's users: a string, an integer, or a list of these. If set, nothing else decides."""
    route_group: validators.Expression = None
    """JMESPath for the event's groups: a string, an integer, or a list of these. If set, nothing else decides."""
    route_broadcast: validators.Expression = None
    """JMESPath that yields `true` or `"true"` if the event is for everyone. If set, nothing else decides."""
    route_type: validators.Expression = None
    """JMESPath for the event's type, a string. If set, nothing else decides."""
    route_subject: validators.Expression = None
    """JMESPath for the event's subject, a string. If set, nothing else decides."""
    route_data: validators.Expression = None
    """JMESPath for the event's data, of any type. If set, nothing else decides."""
    route_id: validators.Expression = None
    """JMESPath for the event's id, a string or an integer. If set, nothing else decides."""
    unrouted: Annotated[Literal["dead-letter", "discard"], BeforeValidator(validators.lower_case)] = "dead-letter"
    """What to do with a message that is for nobody: `dead-letter` or `discard`."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            # From None, because the chained error would show the values, secrets included.
            raise InvalidSettings("; ".join(_messages(error))) from None

    @model_validator(mode="before")
    @classmethod
    def _strip(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Drop white space around values, then drop empty values. Files and templates easily leave a line end behind.

        Secrets are left unchanged: their validators refuse white space around them.
        """
        texts = {name: value.strip() for name, value in values.items() if isinstance(value, str)}
        stripped = {name: text for name, text in texts.items() if name not in SECRETS}
        return {name: value for name, value in {**values, **stripped}.items() if texts.get(name) != ""}

    @model_validator(mode="after")
    def _check_combinations(self) -> Settings:
        if self.history_bytes < self.max_event_bytes:
            raise ValueError("SSE_HISTORY_BYTES: must be at least SSE_MAX_EVENT_BYTES, or it cannot keep a large event")
        if self.broker_password is not None and (self.in_memory or urlsplit(self._broker_url).password):
            raise ValueError("SSE_BROKER_PASSWORD: must be unset unless SSE_BROKER_URL is a server without password")
        if self.cookie_name.lower().startswith("__host-") and self.cookie_domain is not None:
            raise ValueError("SSE_COOKIE_DOMAIN: must be unset, as browsers refuse a __Host- cookie with a domain")
        identity.check(
            oidc_issuers=self.oidc_issuers,
            jwks_url=self.jwks_url,
            jwt_issuer=self.jwt_issuer,
            jwt_audience=self.jwt_audience,
            authorizer_url=self.authorizer_url,
            authorizer=self.authorizer,
        )
        return self

    @property
    def has_provider(self) -> bool:
        """Whether tokens of an identity provider are accepted."""
        return bool(self.oidc_issuers) or self.jwks_url is not None

    @property
    def in_memory(self) -> bool:
        """Whether history is kept in this process."""
        return self._broker_url == "memory://"

    @property
    def store_url(self) -> str:
        """The server's URL with the password: a secret."""
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
        """Raise InvalidSettings with the names of the variables if any of these fields is not set."""
        if missing := [PREFIX + name.upper() for name in names if not getattr(self, name)]:
            raise InvalidSettings("; ".join(f"{name}: must be set" for name in missing))

    def check_for_serving(self) -> None:
        """Raise InvalidSettings if `serve` could not keep its guarantees with these settings."""
        missing = [] if self.queue_url else [f"{PREFIX}QUEUE_URL: must be set"]
        if not any(getattr(self, name) for name in identity.WAYS):
            variables = ", ".join(PREFIX + name.upper() for name in identity.WAYS)
            missing.append(f"{variables}: one of them must be set, or nobody could open a stream")
        if missing:
            raise InvalidSettings("; ".join(missing))
        if self.in_memory and not self.single_task:
            raise InvalidSettings(
                "SSE_SINGLE_TASK: must be true with SSE_BROKER_URL=memory://. Set it only if no second task reads the "
                "queue, not even during a deploy: it would take events that the streams here never see"
            )

    def check_for_dev(self) -> None:
        """Raise InvalidSettings if browsers would drop the session cookie of `dev`, which is not ``Secure``."""
        # Browsers ignore the case of these prefixes (RFC 6265bis section 4.1.3).
        if self.cookie_name.lower().startswith(("__host-", "__secure-", "__http-")):
            raise InvalidSettings(
                "SSE_COOKIE_NAME: must not start with __Host-, __Secure- or __Http- with dev: browsers accept such a "
                "cookie only over HTTPS, and dev uses plain HTTP"
            )
        if self.cookie_samesite == "none":
            raise InvalidSettings(
                "SSE_COOKIE_SAMESITE: must not be none with dev: browsers accept such a cookie only over HTTPS, and "
                "dev uses plain HTTP"
            )
        if self.cookie_domain is not None:
            raise InvalidSettings(
                "SSE_COOKIE_DOMAIN: must be unset with dev: its pages are on this machine's own address, for which "
                "browsers drop a cookie with a domain"
            )


def _messages(error: ValidationError) -> list[str]:
    """Return one message for each invalid variable. No message contains the value."""
    found = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        text = item["msg"].removeprefix("Value error, ").replace("Input should ", "must ", 1)
        found.append(f"{PREFIX}{str(item['loc'][0]).upper()}: {text}" if item["loc"] else text)
    return list(dict.fromkeys(found))
