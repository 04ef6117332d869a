"""The folder of ``client.js`` is an npm package: it can be packed, installed and imported."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from sse_service.client.files import CLIENT
from tests.integration.node import attempt

ROOT = Path(__file__).parents[2]
PACKAGE = json.loads((CLIENT.parent / "package.json").read_text())
IMPORT = """
import { PushClient } from "sse-service-client";
console.log(Object.getPrototypeOf(PushClient) === EventTarget);
"""


def run(*command: str, directory: Path) -> str:
    ran = attempt(*command, directory=directory, env={"HOME": str(directory)})
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_package_can_be_packed_installed_and_imported(tmp_path: Path) -> None:
    packed = json.loads(run("npm", "pack", "--json", str(CLIENT.parent), directory=tmp_path))
    # npm 11 answers with a list, later ones with an object.
    found = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
    assert {file["path"] for file in found["files"]} == {"README.md", "client.d.ts", "client.js", "package.json"}
    run("npm", "install", "--offline", "--no-audit", "--no-fund", found["filename"], directory=tmp_path)
    (tmp_path / "app.mjs").write_text(IMPORT)
    assert run("node", "app.mjs", directory=tmp_path) == "true\n"


def test_the_package_has_the_version_of_the_service() -> None:
    assert PACKAGE["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
