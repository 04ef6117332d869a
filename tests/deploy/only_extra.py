"""``python -m tests.deploy.only_extra EXTRA ARGUMENT…``: runs the command line as if only one extra were installed.

Importing a module of any other package fails. The packages are those of the current environment, and the requirements
those of pyproject.toml.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
OWN = frozenset({"sse_service", "consumers", "tests"})


def installed_with(extra: str) -> set[str]:
    """Return the names of the packages that ``pip install 'sse-service[EXTRA]'`` installs."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    waiting = [*map(Requirement, project["dependencies"] + project["optional-dependencies"][extra])]
    found: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        for chosen in ("", *requirement.extras):
            key = (canonicalize_name(requirement.name), chosen)
            if key not in found:
                found.add(key)
                waiting += _required(*key)
    return {name for name, _ in found}


def _required(name: str, extra: str) -> list[Requirement]:
    every = map(Requirement, requires(name) or ())
    return [each for each in every if each.marker is None or each.marker.evaluate({"extra": extra})]


class Missing(MetaPathFinder):
    """Refuses the modules of packages that are not among the allowed ones."""

    def __init__(self, allowed: set[str]) -> None:
        self._refused = {
            module
            for module, packages in packages_distributions().items()
            if not allowed.intersection(map(canonicalize_name, packages)) and module not in OWN
        }

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if name.partition(".")[0] in self._refused:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def main(extra: str, *arguments: str) -> int:
    # Before any module of the service is imported.
    sys.meta_path.insert(0, Missing(installed_with(extra)))
    from sse_service import cli

    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
