"""The requirement that a server does not meet is named."""

import pytest

from sse_service.brokers.valkey.requirements import parse_info, unmet_requirement


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (b"redis_version:7.0.15\r\nrun_id:a\r\n", None),
        (b"# Server\r\nredis_version:7.2.4\r\nvalkey_version:9.1.2\r\nmaxmemory_policy:noeviction\r\n", None),
        (b"redis_version:6.2.6\r\n", "version 6.2.6"),
        (b"redis_version:unstable\r\n", "version unstable"),
        (b"", "version 0"),
        (b"redis_version:7.2.4\r\nredis_mode:cluster\r\n", "cluster mode"),
        (b"redis_version:7.2.4\r\nvalkey_version:9.1.2\r\nserver_mode:cluster\r\n", "cluster mode"),
        (b"redis_version:7.2.4\r\nmaxmemory_policy:volatile-lru\r\n", "maxmemory-policy is volatile-lru"),
    ],
)
def test_the_unmet_requirement_is_found_in_the_answer_to_info(info: bytes, reason: str | None) -> None:
    found = unmet_requirement(parse_info(info))
    assert found is None if reason is None else reason in str(found)
