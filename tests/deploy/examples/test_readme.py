"""The table of the examples."""

from __future__ import annotations

from tests.deploy.examples.files import EXAMPLES


def test_each_example_is_short_and_in_the_table() -> None:
    files = {path.name: path.read_text() for path in EXAMPLES.iterdir() if path.is_file()}
    table = files.pop("README.md")
    for name, text in files.items():
        limit = 150 if name == "oidc.js" else 60  # that one is a whole sign-in, without a library
        assert len(text.splitlines()) < limit, name
    named = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    assert named == set(files)
