"""The workflows run what a person runs, and nothing that is not there."""

import re
from typing import Any

import pytest
import yaml

from tests.deploy.template import ROOT

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS: dict[str, Any] = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))}


def jobs() -> list[tuple[str, str, Any]]:
    return [(name, key, job) for name, workflow in WORKFLOWS.items() for key, job in workflow["jobs"].items()]


def commands(name: str) -> str:
    steps = [step for job in WORKFLOWS[name]["jobs"].values() for step in job.get("steps", [])]
    return "\n".join(step["run"] for step in steps if "run" in step)


def test_there_are_three() -> None:
    assert set(WORKFLOWS) == {"checks", "image", "release"}


@pytest.mark.parametrize(("name", "key", "job"), jobs())
def test_a_job_has_little_power_and_an_end(name: str, key: str, job: Any) -> None:
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    assert "uses" in job or job["timeout-minutes"] <= 60
    for step in job.get("steps", []):
        # A tag's or branch's name in a command would be code: it comes by the environment.
        assert "${{" not in step.get("run", "")
        assert re.fullmatch(r"(actions|docker)/[a-z-]+@v\d+", step.get("uses", "actions/none@v1"))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_file_that_is_named_is_there(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    named = re.findall(r"(?:\./)?((?:\.github/workflows|deploy|tests)/[\w./-]+)", text)
    assert not [path for path in named if not (ROOT / path).exists()]


def test_checks_are_those_of_a_person_on_every_python_that_is_promised() -> None:
    assert "bash tests/run" in commands("checks")
    pythons = WORKFLOWS["checks"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13"]


def test_the_image_says_what_is_in_it_for_both_architectures() -> None:
    pushed = commands("image")
    for flag in ("--platform linux/amd64,linux/arm64", "--sbom=true", "--provenance=mode=max", "BASE=$base@$digest"):
        assert flag in pushed


def test_nothing_is_released_that_was_not_checked() -> None:
    release = WORKFLOWS["release"]["jobs"]
    assert release["checks"]["uses"] == "./.github/workflows/checks.yaml"
    assert (release["checks"]["needs"], release["image"]["needs"], release["release"]["needs"]) == (
        "version",
        "checks",
        "image",
    )
