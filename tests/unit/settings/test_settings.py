"""Valid settings are read. Each invalid one is refused with one line that names its variable."""

from typing import Any

import pytest

from sse_service.model.errors import InvalidSettings
from sse_service.settings.names import closest_setting, table, unknown_variables
from sse_service.settings.settings import Settings

SECRET = "s" * 32
SERVING = {"queue_url": "http://sqs/1/q", "jwt_secret": SECRET, "single_task": True}


def refused(**values: Any) -> str:
    with pytest.raises(InvalidSettings) as caught:
        Settings(**values)
    return str(caught.value)


def test_settings_may_be_unset_until_they_are_required() -> None:
    settings = Settings()
    assert (settings.in_memory, settings.heartbeat_seconds, settings.log_format) == (True, 15, "json")
    with pytest.raises(InvalidSettings, match=r"^SSE_QUEUE_URL: must be set; SSE_JWT_SECRET, .*one of them"):
        settings.check_for_serving()
    with pytest.raises(InvalidSettings, match=r"^SSE_TOPIC_ARN: must be set$"):
        settings.require("topic_arn")


def test_the_environment_is_read_and_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_HEARTBEAT_SECONDS", "20")
    monkeypatch.setenv("SSE_HISTORY_EVENTS", "")
    monkeypatch.setenv("SSE_CORS_ORIGINS", " ")
    settings = Settings()
    assert (settings.heartbeat_seconds, settings.history_events, settings.cors_origins) == (20, 200, ())


def test_a_keyword_takes_precedence_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_HEARTBEAT_SECONDS", "wrong")
    assert Settings(heartbeat_seconds=5).heartbeat_seconds == 5


def test_settings_are_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().max_streams = 5


def test_words_are_read_in_any_case_and_lists_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "LOG_LEVEL": "Debug",
        "SINGLE_TASK": "TRUE",
        "UNROUTED": "Discard",
        "COOKIE_SAMESITE": "Strict",
        "CORS_ORIGINS": "https://A.example:443, http://localhost:5173,http://[::1]:80",
        "TRUSTED_PROXIES": "10.0.0.0/8, ::1",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"SSE_{name}", value)
    settings = Settings()
    assert (settings.log_level, settings.single_task, settings.unrouted) == ("debug", True, "discard")
    assert settings.cookie_samesite == "strict"
    assert settings.cors_origins == ("https://a.example", "http://localhost:5173", "http://[::1]")
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


def test_an_origin_may_have_any_scheme() -> None:
    origins = ["capacitor://localhost", "ionic://localhost", "tauri://localhost:1420", "http://my_app.test"]
    origins.append("chrome-extension://abcdefghijklmnopabcdefghijklmnop")
    assert Settings(cors_origins=",".join(origins)).cors_origins == tuple(origins)


def test_valid_values_are_kept_unchanged() -> None:
    given = {
        "queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/events",
        "topic_arn": "arn:aws:sns:eu-west-1:123456789012:events",
        "cookie_name": "__Host-session",
        "s3_key_pattern": "users/{user}/*",
        "heartbeat_seconds": 50,
        "route_user": "body.owner.id || attributes.user_id",
    }
    settings = Settings(**given)
    assert {name: getattr(settings, name) for name in given} == given
    assert Settings(cookie_domain=".example.com").cookie_domain == ".example.com"


def test_secrets_are_split_by_comma_and_never_shown() -> None:
    settings = Settings(jwt_secret=f"{SECRET},{'t' * 32}")
    assert [secret.get_secret_value() for secret in settings.jwt_secret] == [SECRET, "t" * 32]
    assert SECRET not in repr(settings) + str(settings.jwt_secret) + str(settings.model_dump())


@pytest.mark.parametrize("secret", ["canary", f"{SECRET},canary", f"{'canary' * 6}\n", f"{SECRET}, {'canary' * 6}"])
def test_a_wrong_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(InvalidSettings, match=r"^SSE_JWT_SECRET: ") as caught:
        Settings(jwt_secret=secret)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_the_length_of_a_secret_is_counted_in_bytes() -> None:
    assert Settings(jwt_secret="é" * 16).jwt_secret


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("queue_url", "events"),
        ("queue_url", "https://sqs.eu-west-1.amazonaws.com/123456789012/eve\nnts"),
        ("queue_url", "https://sqs.eu-west-1.amazonaws.com/123456789012/eve nts"),
        ("queue_url", "https://sqs.eu-west-1.amazonaws.com/123456789012/events.fifo"),
        ("topic_arn", "events"),
        ("topic_arn", "arn:aws:sqs:eu-west-1:123456789012:events"),
        ("single_task", "maybe"),
        ("broker_url", "redis://"),
        ("broker_url", "redis://host/one"),
        ("broker_url", "redis://ho\nst"),
        ("broker_url", "redis://host:70000"),
        ("broker_url", "http://host"),
        ("broker_url", "redis://host/٣"),
        ("broker_url", "redis://host/123456"),
        ("broker_url", "rediss://host?ssl_cert_reqs=none"),
        ("broker_url", "rediss://host?ssl_ca_certs=/nonexistent"),
        ("broker_url", f"redis://host?ssl_ca_certs={__file__}"),
        ("broker_url", "memory://host"),
        ("max_streams_per_user", 0),
        ("max_streams_per_address", 0),
        ("opens_per_second", -1),
        ("stream_max_age_seconds", 0),
        ("emf_namespace", "AWS/ECS"),
        ("emf_namespace", "a b"),
        ("cookie_name", "a b"),
        ("cookie_samesite", "sometimes"),
        *(("cookie_domain", domain) for domain in ("example.com; Path=/", "com", ".com", "localhost", "example.com.")),
        ("s3_key_pattern", "users/*"),
        *(
            ("cors_origins", origin)
            for origin in (
                *("*", "null", "https://*.example.com", "app.example.com", "https://", "*://localhost", "://localhost"),
                *("capacitor://", "capacitor:localhost", "capacitor://localhost/", "file:///", "file://"),
                *("https://example.com/", "https://example.com/path", "https://example.com?x", "https://u@example.com"),
                *("https://example.com:", "https://example.com:99999", "https://é.example", "https://[", "[", "//a"),
            )
        ),
        *(("trusted_proxies", network) for network in ("*", "10.0.0.1/8", "host", "0.0.0.0/0", "::/0")),
        *(("heartbeat_seconds", value) for value in (0, -1, 51, "x", 1.5)),
        *((name, 0) for name in ("history_events", "history_seconds", "history_bytes", "dedupe_seconds")),
        *((name, 0) for name in ("max_event_bytes", "stream_queue_events", "stream_queue_bytes", "max_streams")),
        ("drain_seconds", -1),
        ("drain_seconds", 116),
        ("sqs_pollers", 0),
        ("admin_port", 65_536),
        ("log_level", "loud"),
        ("log_format", "xml"),
        *((f"route_{field}", "body[") for field in ("user", "group", "broadcast", "type", "subject", "data", "id")),
        ("route_user", "split(body.key, '/')"),
        ("unrouted", "keep"),
    ],
)
def test_an_invalid_value_is_refused_with_one_line_that_names_the_variable(name: str, value: Any) -> None:
    text = refused(**{name: value})
    assert text.startswith(f"SSE_{name.upper()}: must ")
    assert "\n" not in text
    assert "password" not in text


def test_all_errors_are_reported_at_once() -> None:
    text = refused(heartbeat_seconds=51, log_level="loud")
    assert text == (
        "SSE_HEARTBEAT_SECONDS: must be 1 to 50, as an ALB closes after 60 s without a byte; "
        "SSE_LOG_LEVEL: must be 'debug', 'info', 'warning', 'error' or 'critical'"
    )


def test_a_history_smaller_than_the_largest_event_is_refused() -> None:
    assert refused(history_bytes=1000).startswith("SSE_HISTORY_BYTES: must be at least SSE_MAX_EVENT_BYTES")
    assert Settings(history_bytes=1000, max_event_bytes=1000)


def test_a_host_cookie_with_a_domain_is_refused() -> None:
    for name in ("__Host-session", "__host-session"):
        assert refused(cookie_name=name, cookie_domain="example.com").startswith("SSE_COOKIE_DOMAIN: ")


def test_the_memory_broker_serves_a_single_task_only() -> None:
    Settings(**SERVING).check_for_serving()
    with pytest.raises(
        InvalidSettings, match=r"^SSE_SINGLE_TASK: must be true with SSE_BROKER_URL=memory://"
    ) as caught:
        Settings(**{**SERVING, "single_task": False}).check_for_serving()
    assert "\n" not in str(caught.value)


def test_a_redis_url_allows_any_number_of_tasks_and_its_password_is_not_shown() -> None:
    settings = Settings(
        **{**SERVING, "single_task": False}, broker_url=f"rediss://:canary@host:6380/2?ssl_ca_certs={__file__}"
    )
    settings.check_for_serving()
    assert not settings.in_memory
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("redis://host", "redis://:p%40ss%2F%3A@host"),
        ("rediss://host:6380/2", "rediss://:p%40ss%2F%3A@host:6380/2"),
        ("rediss://app@[::1]:6380/2", "rediss://app:p%40ss%2F%3A@[::1]:6380/2"),
    ],
)
def test_a_separate_password_is_added_to_the_url_and_not_shown(url: str, whole: str) -> None:
    settings = Settings(broker_url=url, broker_password="p@ss/:")
    assert settings.store_url == whole
    assert "p@ss" not in repr(settings)


@pytest.mark.parametrize("url", ["memory://", "redis://:other@host"])
def test_a_separate_password_is_refused_without_a_server_or_beside_one_in_the_url(url: str) -> None:
    assert refused(broker_url=url, broker_password="canary").startswith("SSE_BROKER_PASSWORD: must be unset unless ")


def test_an_unknown_keyword_is_refused() -> None:
    assert refused(heart_beat=1).startswith("SSE_HEART_BEAT: ")


def test_unknown_variables_with_the_prefix_are_listed() -> None:
    names = ["SSE_QUEUE_URL", "SSE_HEARTBEAT", "AWS_REGION", "sse_max_streams", "SSE_MAX_STREAMS_PER_GROUP"]
    assert unknown_variables(dict.fromkeys(names, "")) == ["SSE_HEARTBEAT", "SSE_MAX_STREAMS_PER_GROUP"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SSE_OIDC_ISSUER", "SSE_OIDC_ISSUERS"),
        ("sse_jwt_algorithm", "SSE_JWT_ALGORITHMS"),
        ("SSE_CORS_ORIGIN", "SSE_CORS_ORIGINS"),
        ("SSE_REVOKE_SECONDS", "SSE_REVOKED_SECONDS"),
        ("SSE_AUTHORISER_URL", "SSE_AUTHORIZER_URL"),
        ("SSE_JWT_AUDIENCES", "SSE_JWT_AUDIENCE"),
        ("SSE_TIMEZONE", None),
        ("SSE_PORT", None),
        ("SSE_WORKERS", None),
        ("SSE_", None),
    ],
)
def test_a_misspelled_setting_is_recognized(name: str, meant: str | None) -> None:
    assert closest_setting(name) == meant


def test_an_unknown_variable_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_NONESUCH", "1")
    assert Settings()


def test_every_setting_is_described_with_its_default() -> None:
    rows = {name: (default, meaning) for name, default, meaning in table()}
    assert set(rows) == {f"SSE_{name.upper()}" for name in Settings.model_fields}
    assert all(meaning.endswith(".") for _, meaning in rows.values())
    defaults = [
        rows[f"SSE_{name}"][0] for name in ("QUEUE_URL", "SINGLE_TASK", "JWT_SECRET", "HISTORY_BYTES", "UNROUTED")
    ]
    assert defaults == ["", "false", "", "67108864", "dead-letter"]
