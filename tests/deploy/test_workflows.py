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
        # The tags of all others could be moved by somebody else.
        used = step.get("uses", "actions/none@v1")
        assert re.fullmatch(r"(actions|docker)/[a-z-]+@v\d+|[a-z-]+/[a-z-]+@[0-9a-f]{40}", used)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_named_file_exists(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    named = re.findall(r"(?:\./)?((?:\.github/workflows|deploy|tests)/[\w./-]+)", text)
    assert not [path for path in named if not (ROOT / path).exists()]


def test_checks_run_the_test_command_on_every_supported_python() -> None:
    assert "bash tests/run" in commands("checks")
    pythons = WORKFLOWS["checks"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13"]


TRY, PUSH = (WORKFLOWS["image"]["jobs"][name] for name in ("try", "push"))


def test_the_image_has_labels_an_sbom_and_provenance_and_a_pinned_base() -> None:
    built = commands("image")
    for flag in ("--sbom=true", "--provenance=mode=max", "BASE=$base@$digest"):
        assert flag in built
    for label in ("source", "revision", "version"):
        assert f'--label "org.opencontainers.image.{label}=' in built


def test_the_image_is_built_once_tried_scanned_and_then_pushed_on_a_machine_of_each_architecture() -> None:
    machines = {each["architecture"]: each["runner"] for each in TRY["strategy"]["matrix"]["include"]}
    assert machines == {"amd64": "ubuntu-24.04", "arm64": "ubuntu-24.04-arm"}
    assert commands("image").count("docker buildx build") == 1
    steps = [step.get("run", step.get("uses", "")) for step in TRY["steps"]]
    order = [
        next(number for number, step in enumerate(steps) if what in step)
        for what in ("docker buildx build", "bash tests/deploy/image.sh", "trivy-action", "docker push")
    ]
    assert order == sorted(order)
    # A pull request may come from anybody.
    for step in TRY["steps"][order[-1] :]:
        assert step["if"] == "github.event_name != 'pull_request'"


def test_one_tag_is_made_of_the_digests_that_were_tried_and_signed() -> None:
    assert PUSH["needs"] == "try"
    assert PUSH["permissions"]["id-token"] == "write"
    made = "\n".join(step.get("run", "") for step in PUSH["steps"])
    assert '"$image@$(cat digest-amd64)" "$image@$(cat digest-arm64)"' in made
    assert "cosign sign --yes --recursive" in made
    assert WORKFLOWS["release"]["jobs"]["image"]["permissions"] == PUSH["permissions"]


def test_a_release_needs_the_checks_and_the_image() -> None:
    release = WORKFLOWS["release"]["jobs"]
    assert release["checks"]["uses"] == "./.github/workflows/checks.yaml"
    assert (release["checks"]["needs"], release["image"]["needs"], release["release"]["needs"]) == (
        "version",
        "checks",
        "image",
    )
