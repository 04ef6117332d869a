"""The lines of the report, and the address that `--url` accepts."""

import pytest

from sse_service.arguments import parser
from sse_service.doctor.report import Level, Report, fail, ok, skip, warn


def test_a_finding_is_one_line_that_ends_in_the_fix() -> None:
    assert ok("queue", "there").line == "ok    queue        there"
    assert fail("topic", "not set", "set it").line == "FAIL  topic        not set: set it"
    assert warn("key", "unseen", "look").line == "warn  key          unseen: look"
    assert skip("policy", "the queue failed").line == "skip  policy       the queue failed"


def test_text_from_outside_cannot_add_a_line_or_control_the_terminal() -> None:
    line = ok("subscription", 'lets through {"a":["\nFAIL\x1b[31m"]} Zoë').line
    assert line == 'ok    subscription lets through {"a":["\\nFAIL\\x1b[31m"]} Zoë'


def test_a_report_remembers_what_failed() -> None:
    lines: list[str] = []
    report = Report(lines.append)
    report.add(ok("queue", "a"), warn("queue", "b", "c"))
    assert not report.failed
    report.add(fail("topic", "d"))
    assert report.failed
    assert (report.checks_at(Level.FAIL, Level.WARN), len(lines)) == (["queue", "topic"], 3)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "https://push.example.com/base/", "http://[::1]:8000", "http://bücher.example"]
)
def test_an_http_address_is_accepted(url: str) -> None:
    assert parser().parse_args(["doctor", "--url", url]).url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a", "127.0.0.1:8000", "http://", "http://a:x", "http://a:0", "http://a?b", "http://u:p@a", "http://["),
        *(
            "http://exa mple:80",
            "http://127.0.0.1/ü",
            "http://127.0.0.1/a b",
            "http://a\nb",
            "http://a/\x7f",
            "http://.",
        ),
        *("http://ex..ample", f"http://{'a' * 64}.example", "http://\udcff", " http://a"),
    ],
)
def test_any_other_text_is_refused_as_an_address(url: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["doctor", "--url", url])
    assert ended.value.code == 2
