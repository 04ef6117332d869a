"""A parser for the parts of the Dockerfile language that the project uses."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str

    @property
    def exec_form(self) -> list[str]:
        """The arguments. Fails if the instruction needs a shell."""
        parsed: list[str] = json.loads(self.text)
        return parsed


@dataclass(frozen=True)
class Stage:
    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def all(self, name: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions if instruction.name == name]

    def one(self, name: str) -> Instruction:
        [instruction] = self.all(name)
        return instruction


def stages(path: Path) -> tuple[dict[str, str], list[Stage]]:
    """Return the arguments before the first stage, and the stages."""
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, _, text = line.partition(" ")
        if name == "FROM":
            base, _, called = text.partition(" AS ")
            found.append(Stage(base, called, ()))
        elif name == "ARG" and not found:
            key, _, value = text.partition("=")
            arguments[key] = value
        else:
            last = found.pop()
            found.append(Stage(last.base, last.name, (*last.instructions, Instruction(name, text.strip()))))
    return arguments, found
