"""The documents say what the code does."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from sse_service.brokers.valkey.requirements import ACL_RULES
from sse_service.model.reasons import CloseReason, GapReason, RefusalReason
from sse_service.settings import names
from sse_service.telemetry.metrics import Metrics
from tests.docs.markdown import pages
from tests.docs.settings import tables

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "deploy" / "settings.md").read_text()
OPERATE = (ROOT / "deploy" / "operate.md").read_text()
INCIDENTS = (ROOT / "deploy" / "incidents.md").read_text()
STREAM = (ROOT / "sse_service" / "protocols" / "sse" / "README.md").read_text()
ROUTING = (ROOT / "sse_service" / "routing" / "README.md").read_text()
GLOSSARY = (ROOT / "sse_service" / "README.md").read_text()


def section(text: str, heading: str) -> str:
    """What stands below a heading of the second level."""
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def first_cells(text: str, head: str) -> list[str]:
    """The words in code style in the first column of the table whose first row begins with ``head``."""
    rows = text.split(f"| {head} |")[1].split("\n\n")[0].splitlines()[2:]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row.replace("\\|", "").split("|")[1])]


def label_values(metric: str) -> set[str]:
    """The values of a metric's label that are known from the start."""
    [family] = [each for each in Metrics().registry.collect() if each.name == metric]
    return {value for sample in family.samples for value in sample.labels.values()}


def log_texts() -> list[str]:
    """Every text in the code, with ``X`` for what a log call inserts."""
    trees = [
        ast.parse(path.read_text()) for room in ("sse_service", "consumers") for path in (ROOT / room).rglob("*.py")
    ]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [re.sub(r"%[.\d]*[sdf]", "X", node.value) for node in nodes if isinstance(node.value, str)]


def quoted(values: Iterable[str]) -> set[str]:
    """The values in code style."""
    return {f"`{value}`" for value in values}


def test_the_tables_of_settings_are_as_the_settings_say() -> None:
    assert tables() in SETTINGS, "run: python -m tests.docs.settings"


def test_no_page_names_a_setting_that_there_is_not() -> None:
    known = {name for name, _, _ in names.table()}
    for page in pages():
        named = set(re.findall(r"\bSSE_[A-Z0-9]+(?:_[A-Z0-9]+)*\b(?!_|…)", page.read_text()))
        # An example of a name.
        assert named <= known | {"SSE_NAME"}, page


def test_every_metric_is_described_and_no_other() -> None:
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in Metrics().registry.collect()
        if not family.name.startswith("sse_process_")
    }
    named = [word.split("{")[0] for word in first_cells(OPERATE, "metric")]
    assert sorted(named) == sorted(names)


@pytest.mark.parametrize(
    "metric",
    [
        *("sse_streams_closed", "sse_requests_refused", "sse_events_dropped", "sse_duplicates"),
        "sse_authorizer_answers",
    ],
)
def test_every_value_of_a_metrics_label_is_described_beside_it(metric: str) -> None:
    [row] = [line for line in OPERATE.splitlines() if line.startswith(f"| `{metric}_total")]
    assert not {value for value in quoted(label_values(metric)) if value not in row}


def test_every_reason_of_a_rejected_message_is_described_and_no_other() -> None:
    named = first_cells(section(ROUTING, "Messages that are not understood"), "reason")
    assert sorted(named) == sorted(label_values("sse_messages_rejected"))


def test_every_reason_of_a_gap_is_described_and_no_other() -> None:
    assert sorted(first_cells(STREAM, "reason of `stream.gap`")) == sorted(GapReason)


def test_every_reason_of_a_close_is_described_and_no_other() -> None:
    assert sorted(first_cells(STREAM, "reason of `stream.close`")) == sorted(CloseReason)


def test_every_reason_of_a_refusal_is_described() -> None:
    limits = section(STREAM, "Limits")
    assert not {reason for reason in quoted(RefusalReason) if reason not in limits}


@pytest.mark.parametrize(
    ("term", "reasons"), [("CloseReason", CloseReason), ("Gap", GapReason), ("RefusalReason", RefusalReason)]
)
def test_the_glossary_lists_every_reason(term: str, reasons: Iterable[str]) -> None:
    [row] = [line for line in GLOSSARY.splitlines() if line.startswith(f"| {term} |")]
    assert not {reason for reason in quoted(reasons) if reason not in row}


def test_the_rights_that_valkeys_user_needs_are_those_that_it_is_asked_for() -> None:
    assert ACL_RULES in OPERATE


def test_every_line_of_the_log_that_the_runbook_quotes_is_logged() -> None:
    texts = log_texts()
    lines = first_cells(INCIDENTS, "line")
    assert len(lines) > 10
    for line in lines:
        fixed = re.split(r"\b(?:OPERATION|CODE|NAME|ID|URL|HOST: CAUSE|CAUSE|N|M|public)\b|…", line)
        pattern = ".*?".join(re.escape(part) for part in fixed)
        assert any(re.match(pattern, text) for text in texts), line
