"""Where the examples are, and what runs those in TypeScript and JavaScript."""

from __future__ import annotations

from pathlib import Path

import playwright

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"
NODE = Path(playwright.__file__).parent / "driver" / "node"
"""Playwright's Node.js, which runs TypeScript; the system's may be too old."""
