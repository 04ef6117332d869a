"""The wheel and the sdist that the release workflow publishes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import httpx
import pip
import pytest
import yaml

from tests.deploy.only_extra import installed_with
from tests.deploy.template import ROOT
from tests.integration.chain import environment, queue_stub, serve
from tests.integration.process import DEADLINE, PROGRAM_DEADLINE, Process

PACKAGES = ("consumers", "sse_service")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RELEASE = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yaml").read_text())
URL = "https://git.example.com/somebody/push"


def run(*command: str, cwd: Path, **environment: str) -> str:
    # With PYTHONPATH, the program would find the checkout instead of the installed package.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**env, **environment},
        capture_output=True,
        text=True,
        timeout=PROGRAM_DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an sdist, and a wheel from it, as the release workflow does. Returns their folder."""
    folder = tmp_path_factory.mktemp("dist")
    # With isolation it would download the build backend.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [path] = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"sse_service-{PROJECT['version']}"


def in_the_tree(*folders: str) -> set[str]:
    """Return the files of these folders, without caches."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in found if "__pycache__" not in path.parts}


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return BytesParser().parsebytes(archive.read(f"sse_service-{PROJECT['version']}.dist-info/METADATA"))


def test_the_wheel_holds_every_file_of_the_two_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = {name for name in names if ".dist-info/" in name}
    assert names - about == in_the_tree(*PACKAGES)
    assert {Path(name).name for name in about} == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "LICENSE"}


def test_the_files_that_are_read_at_run_time_are_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        kinds = {Path(name).suffix for name in archive.namelist() if name.startswith("sse_service/")}
    assert {".py", ".lua", ".html", ".css", ".js", ".svg", ".typed"} <= kinds


def test_the_sdist_holds_what_a_packager_needs_to_test_it(sdist: Path) -> None:
    files = {str(path.relative_to(sdist)) for path in sdist.rglob("*") if path.is_file()}
    assert in_the_tree(*PACKAGES, "tests", "deploy", ".github") <= files
    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "PKG-INFO"} <= files
    assert not [name for name in files if "__pycache__" in name or name.startswith((".git/", ".venv/"))]


def test_the_metadata_is_complete(wheel: Path) -> None:
    found = metadata(wheel)
    assert found["Name"] == "sse-service"
    assert found["Version"] == PROJECT["version"]
    assert found["Summary"]
    assert found["Author"]
    assert found["Keywords"]
    assert found["License-Expression"] == "Apache-2.0"
    assert found["License-File"] == "LICENSE"
    assert found["Requires-Python"] == ">=3.11"
    assert found["Description-Content-Type"] == "text/markdown"
    assert found.get_payload(decode=True).decode() == (ROOT / "README.md").read_text()
    assert set(found.get_all("Provides-Extra", [])) == {"dev", "otel", "redis", "test", "websocket"}


def test_the_classifiers_name_the_pythons_that_are_tested(wheel: Path) -> None:
    checks = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yaml").read_text())
    tested = checks["jobs"]["test"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: 3."
    named = [each for each in metadata(wheel).get_all("Classifier", []) if each.startswith(prefix)]
    assert named == [f"{prefix}{version.removeprefix('3.')}" for version in tested]


def test_the_metadata_of_a_release_names_its_repository(tmp_path: Path) -> None:
    """pyproject.toml contains no URLs. The release workflow adds those of its repository."""
    [command] = [step["run"] for step in RELEASE["jobs"]["release"]["steps"] if "project.urls" in step.get("run", "")]
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    server, _, repository = URL.partition("/somebody")
    given = {"GITHUB_SERVER_URL": server, "GITHUB_REPOSITORY": f"somebody{repository}", "GITHUB_REF_NAME": "v1.2.3"}
    run("bash", "-e", "-c", command, cwd=tmp_path, **given)
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", str(tmp_path), cwd=tmp_path)
    [made] = (tmp_path / "dist").glob("*.whl")
    assert dict(each.split(", ") for each in metadata(made).get_all("Project-URL", [])) == {
        "Source": URL,
        "Issues": f"{URL}/issues",
        "Changelog": f"{URL}/blob/v1.2.3/CHANGELOG.md",
    }


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a new environment. It uses the dependencies of the environment that runs the tests."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", str(venv), cwd=venv.parent)
    [packages] = (venv / "lib").glob("python*/site-packages")
    installer = [sys.executable, str(Path(pip.__file__).parent), "--python", str(venv / "bin" / "python")]
    run(*installer, "install", "--no-deps", "--no-index", "--no-compile", str(wheel), cwd=venv.parent)
    # A .pth file comes after the environment's own packages, so the wheel has precedence over an installed checkout.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv


def test_the_console_script_of_the_wheel_works(installed: Path, tmp_path: Path) -> None:
    script = str(installed / "bin" / "sse-service")
    assert "usage: sse-service" in run(script, "--help", cwd=tmp_path)
    secret = "a-secret-of-the-tests-long-enough-for-HS256"
    assert run(script, "token", "42", cwd=tmp_path, SSE_JWT_SECRET=secret).count(".") == 2


def test_the_installed_code_finds_its_pages_and_scripts(installed: Path, tmp_path: Path) -> None:
    program = (
        "import sse_service; from sse_service.brokers.valkey import scripts; from sse_service.dev import assets; "
        "from sse_service.operator import page; print(sse_service.__file__, len(assets.page_routes()))"
    )
    file, pages = run(str(installed / "bin" / "python"), "-c", program, cwd=tmp_path).split()
    assert Path(file).is_relative_to(installed)
    assert int(pages) == sum(path.is_file() for path in (ROOT / "sse_service" / "dev" / "page").iterdir())


def test_dev_runs_with_the_dev_extra_alone() -> None:
    assert "docker" not in installed_with("dev")
    with Process("tests.deploy.only_extra", "dev", "dev", "--port", "0") as dev:
        watch = dev.wait_for(r"curl -N -H 'Authorization: (?P<token>[^']+)' '(?P<url>[^']+)'")
        emulator = dev.wait_for(r"--endpoint-url (\S+) .* s3 cp")[1]
        with httpx.Client(trust_env=False, timeout=DEADLINE) as client:
            uploaded = client.put(f"{emulator}/demo-uploads/users/demo/a.txt", content=b"hello")
            assert uploaded.status_code == 200
            with client.stream("GET", watch["url"], headers={"Authorization": watch["token"]}) as stream:
                assert "event: upload.done" in stream.iter_lines()
            # The demo page switches to WebSocket, so dev must have it: 426 asks for a handshake.
            assert client.get(f"{watch['url'].rpartition('/events')[0]}/ws").status_code == 426
        dev.signal(signal.SIGINT)
        assert dev.wait() == 0


def test_serve_without_the_websocket_extra_says_what_to_install() -> None:
    assert "websockets" not in installed_with("redis")
    program = ("tests.deploy.only_extra", "redis")
    with queue_stub() as queue, serve(queue, environment(queue), program=program) as chain:
        answer = chain.get("/ws")
        assert answer.status_code == 501
        assert "pip install 'sse-service[websocket]'" in answer.json()["detail"]
