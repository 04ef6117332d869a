"""The workflows run the same commands as a developer, and name only files that exist."""

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


def test_the_workflows_are_checks_image_and_release() -> None:
    assert set(WORKFLOWS) == {"checks", "image", "release"}


@pytest.mark.parametrize(("name", "key", "job"), jobs())
def test_a_job_has_few_permissions_and_a_timeout(name: str, key: str, job: Any) -> None:
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    assert "uses" in job or job["timeout-minutes"] <= 60
    for step in job.get("steps", []):
        # The name of a tag or branch in a command could inject code: it must come from the environment.
        assert "${{" not in step.get("run", "")
        assert re.fullmatch(r"(actions|docker)/[a-z-]+@v\d+", step.get("uses", "actions/none@v1"))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_named_file_exists(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    named = re.findall(r"(?:\./)?((?:\.github/workflows|deploy|tests)/[\w./-]+)", text)
    assert not [path for path in named if not (ROOT / path).exists()]


def test_checks_run_the_test_command_on_every_supported_python() -> None:
    assert "bash tests/run" in commands("checks")
    pythons = WORKFLOWS["checks"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13"]


def test_the_image_has_an_sbom_and_provenance_for_both_architectures() -> None:
    pushed = commands("image")
    for flag in ("--platform linux/amd64,linux/arm64", "--sbom=true", "--provenance=mode=max", "BASE=$base@$digest"):
        assert flag in pushed


def test_a_release_needs_the_checks_and_the_image() -> None:
    release = WORKFLOWS["release"]["jobs"]
    assert release["checks"]["uses"] == "./.github/workflows/checks.yaml"
    assert (release["checks"]["needs"], release["image"]["needs"], release["release"]["needs"]) == (
        "version",
        "checks",
        "image",
    )
