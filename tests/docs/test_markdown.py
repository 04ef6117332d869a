"""The form of the documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, anchors, code_words, file_names, files, links, pages, prose

PAGES = [str(path.relative_to(ROOT)) for path in pages()]
TOP = ("sse_service/", "consumers/", "deploy/", "tests/", ".github/")
"""How the path of a file begins that is named from the project's root."""

_PATH = re.compile(r"[\w./-]+\.(py|md|lua|js|yaml|yml|toml|svg|png|c|html|css|txt)|[\w./-]+/")


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_and_anchor_leads_somewhere(page: str) -> None:
    path = ROOT / page
    broken = []
    for number, target in links(path):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(f"{page}:{number}: {target}")
    assert not broken


@pytest.mark.parametrize("page", PAGES)
def test_no_line_is_wider_than_120_columns_except_tables_links_and_code(page: str) -> None:
    wide = [
        f"{page}:{line.number}"
        for line in prose(ROOT / page)
        if len(line.text) > 120 and not re.match(r"\s*(\||<|\[[^\]]+\]: )", line.text)
    ]
    assert not wide


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_is_there(page: str) -> None:
    missing = []
    for number, word in code_words(ROOT / page):
        if not _PATH.fullmatch(word) or word.startswith(("/", "users/")) or "//" in word:
            continue
        places = [ROOT / word] if word.startswith(TOP) else [ROOT / word, (ROOT / page).parent / word]
        if word not in file_names() and not any(place.exists() for place in places):
            missing.append(f"{page}:{number}: {word}")
    assert not missing


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_every_page_is_linked_from_the_readme_or_from_a_page_that_is() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        for _, target in links(page):
            there = (page.parent / target.partition("#")[0]).resolve()
            # GitHub shows a folder's README below its files.
            there = there / "README.md" if there.is_dir() else there
            if there.suffix == ".md" and there.is_file() and there not in seen:
                waiting.append(there)
    assert set(pages()) <= seen


def test_every_page_that_the_code_names_is_there() -> None:
    missing = []
    for path in files():
        if path.suffix in (".py", ".yaml", ".yml") and "tests/docs" not in str(path):
            text = path.read_text(encoding="utf-8")
            named = re.findall(r"\b(?:deploy|sse_service|consumers|tests)/[\w./-]*\.md\b", text)
            missing += [f"{path.relative_to(ROOT)}: {name}" for name in named if not (ROOT / name).exists()]
    assert not missing
