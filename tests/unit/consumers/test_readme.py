"""``consumers/README.md`` names files that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
README = (ROOT / "consumers" / "README.md").read_text()


def test_every_file_that_the_readme_names_exists() -> None:
    named = re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py|(?:[a-z_]+/)+)`", README)
    assert len(named) > 20
    for path in named:
        assert (ROOT / path).exists() or (ROOT / "consumers" / path).exists(), path


def test_every_module_is_in_the_readme() -> None:
    for file in (ROOT / "consumers").glob("**/*.py"):
        path = file.relative_to(ROOT / "consumers")
        if file.name not in ("__init__.py", "backoff.py") and "fast" not in path.parts:
            assert f"`{path}`" in README, path


def test_the_readme_is_short() -> None:
    lines = README.splitlines()
    assert len(lines) <= 170
    assert max(map(len, lines)) <= 120
