"""What the tests need to know of a Markdown file: its prose, links and anchors, as GitHub reads them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"\s*(```|~~~)")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_IMAGE = re.compile(r'(?:src|srcset)="([^"]+)"')
_CODE = re.compile(r"``[^`]+``|`[^`]+`")


class Line(NamedTuple):
    """One line that is not code."""

    number: int
    text: str


@cache
def files() -> tuple[Path, ...]:
    """Every file of the project, without what tools leave behind."""
    tops = [path for path in ROOT.iterdir() if path.name == ".github" or not path.name.startswith(".")]
    found = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*"))]
    return tuple(sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts))


def pages() -> list[Path]:
    """Every Markdown file of the project."""
    return [path for path in files() if path.suffix == ".md"]


@cache
def file_names() -> frozenset[str]:
    """The names of all files, without their folders."""
    return frozenset(path.name for path in files())


@cache
def prose(path: Path) -> tuple[Line, ...]:
    """The lines outside of code blocks, fenced or indented."""
    found: list[Line] = []
    fenced, before = False, ""
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if _FENCE.match(text):
            fenced = not fenced
        elif not fenced and not (text.startswith("    ") and (not before.strip() or before.startswith("    "))):
            found.append(Line(number, text))
        before = text
    return tuple(found)


def links(path: Path) -> list[tuple[int, str]]:
    """The targets of links and pictures, each with the line in which it ends."""
    lines = prose(path)
    # As one text: the words of a link may go on in the next line.
    text = "\n".join(_CODE.sub("code", line.text) for line in lines)
    return [
        (lines[text.count("\n", 0, match.end())].number, match[1])
        for pattern in (_LINK, _IMAGE)
        for match in pattern.finditer(text)
    ]


@cache
def anchors(path: Path) -> frozenset[str]:
    """The anchors that GitHub makes of a page's headings."""
    found: list[str] = []
    for line in prose(path):
        if match := re.match(r"#{1,6} (.+)", line.text):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match[1]).replace("`", "").lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return frozenset(found)


def code_words(path: Path) -> list[tuple[int, str]]:
    """What stands in code style, with its line."""
    return [(line.number, word.strip("`")) for line in prose(path) for word in _CODE.findall(line.text)]
