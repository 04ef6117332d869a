"""The documents say what the code does."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from sse_service.dev.assets import PAGE
from sse_service.settings import settings
from sse_service.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
RUNBOOK = (ROOT / "deploy" / "README.md").read_text()


def test_every_setting_is_in_the_readme_with_its_default_and_meaning() -> None:
    for name, default, meaning in settings.table():
        row = f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |"
        assert row in README, row


def test_the_readme_names_no_setting_that_there_is_not() -> None:
    named = {line.split("`")[1] for line in README.splitlines() if line.startswith("| `SSE_")}
    assert named == {name for name, _, _ in settings.table()}


def test_every_metric_is_in_the_runbook_and_no_other() -> None:
    registry: CollectorRegistry = Metrics().registry
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in registry.collect()
        if not family.name.startswith("sse_process_")
    }
    named = {line.split("`")[1].split("{")[0] for line in RUNBOOK.splitlines() if line.startswith("| `sse_")}
    assert named == names


def test_the_recipe_has_the_length_that_the_readme_says() -> None:
    assert f"{len((PAGE / 'push.js').read_text().splitlines())} lines to copy" in README
