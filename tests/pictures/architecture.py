"""Draws the README's picture of the architecture as SVG, in light and dark. It needs nothing but Python.

    python -m tests.pictures.architecture

The result goes to ``.github/pictures/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

PICTURES = Path(__file__).parents[2] / ".github" / "pictures"

WIDTH, HEIGHT = 960, 428
FONT = "-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
TEXT = (
    "A browser uploads a file to S3. Processing publishes each step to SNS, which fans it out to an SQS queue. Two "
    "tasks of sse-service read the queue, share order and history in Valkey, and push each event through a load "
    "balancer to the browsers of the user it is for."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Colours of one scheme, as GitHub's own pages have them."""

    ground: str
    card: str
    line: str
    text: str
    soft: str
    accent: str
    wash: str
    frame: str


PALETTES = {
    "light": Palette(
        ground="#ffffff",
        card="#ffffff",
        line="#d0d7de",
        text="#1f2328",
        soft="#59636e",
        accent="#3b5bdb",
        wash="#eef1fd",
        frame="#f6f8fa",
    ),
    "dark": Palette(
        ground="#0d1117",
        card="#161b22",
        line="#3d444d",
        text="#e6edf3",
        soft="#9198a1",
        accent="#8ea6ff",
        wash="#1e2746",
        frame="#11161d",
    ),
}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a title and one line below it."""

    x: float
    y: float
    width: float
    height: float
    title: str
    detail: str = ""
    ours: bool = False
    """Whether it is part of this project."""

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2


UPPER, LOWER = 58.0, 288.0
TALL = 64.0

STORE = Box(212, UPPER, 108, TALL, "S3", "the file")
PROCESSING = Box(394, UPPER, 144, TALL, "Processing", "Lambda, ECS, …")
TOPIC = Box(614, UPPER, 108, TALL, "SNS", "a topic")
QUEUE = Box(796, UPPER, 108, TALL, "SQS", "a queue")

BROWSERS = Box(36, LOWER, 140, TALL, "Browsers", "EventSource")
BALANCER = Box(250, LOWER, 130, TALL, "Load balancer", "ALB, HTTPS")
TASKS = (
    Box(472, LOWER - 44, 160, TALL, "sse-service", "task 1", ours=True),
    Box(472, LOWER + 44, 160, TALL, "sse-service", "task 2", ours=True),
)
VALKEY = Box(772, LOWER, 128, TALL, "Valkey", "order, history")


def draw(palette: Palette) -> str:
    """Give the whole picture as SVG."""
    p = palette
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(TEXT)}" font-family="{FONT}" font-size="13" fill="{p.text}">',
        "<defs>",
        *(
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            f'orient="auto-start-reverse" markerUnits="userSpaceOnUse"><path d="M0 0.5 8 4 0 7.5Z" fill="{colour}"/>'
            "</marker>"
            for name, colour in (("grey", p.soft), ("push", p.accent))
        ),
        "</defs>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="{p.ground}"/>',
        _frame(p, 196, 22, 722, 118, "your back end, as it is"),
        _frame(p, 454, 206, 464, 204, "sse-service on ECS"),
    ]
    boxes = (STORE, PROCESSING, TOPIC, QUEUE, BROWSERS, BALANCER, *TASKS, VALKEY)
    parts += [_box(p, box) for box in boxes]
    parts += _arrows(p)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _arrows(p: Palette) -> list[str]:
    x, _ = BROWSERS.middle
    upload = f"M{x} {BROWSERS.y - 4} V{STORE.middle[1]} H{STORE.x - 4}"
    lines = [
        _path(p, upload),
        _label(p, x + 10, STORE.middle[1] - 10, "1  upload", anchor="start"),
        _across(p, STORE, PROCESSING, "2  notify"),
        _across(p, PROCESSING, TOPIC, "3  publish"),
        _across(p, TOPIC, QUEUE, "4  fan out"),
    ]
    # The queue is read by both tasks.
    down, _ = QUEUE.middle
    for task in TASKS:
        y = task.y + 22
        lines.append(_path(p, f"M{down - 164} {y} H{task.right + 4}"))
    lines += [
        _path(p, f"M{down} {QUEUE.bottom + 4} V172 H{down - 164} V{TASKS[1].y + 22}", arrow=False),
        _label(p, down - 82, 163, "5  long polls"),
    ]
    for task in TASKS:
        y = task.bottom - 16
        end = VALKEY.y + (20 if task is TASKS[0] else TALL - 20)
        lines.append(
            _path(
                p, f"M{task.right + 4} {y} C{task.right + 70} {y} {VALKEY.x - 70} {end} {VALKEY.x - 4} {end}", both=True
            )
        )
    for task in TASKS:
        y = task.middle[1]
        end = BALANCER.middle[1] + (-12 if task is TASKS[0] else 12)
        lines.append(
            _path(
                p,
                f"M{task.x - 4} {y} C{task.x - 50} {y} {BALANCER.right + 50} {end} {BALANCER.right + 4} {end}",
                push=True,
            )
        )
    lines.append(_path(p, f"M{BALANCER.x - 4} {BALANCER.middle[1]} H{BROWSERS.right + 4}", push=True))
    lines.append(_label(p, (BALANCER.x + BROWSERS.right) / 2, BALANCER.middle[1] - 10, "6  push", colour=p.accent))
    return lines


def _across(p: Palette, left: Box, right: Box, text: str) -> str:
    y = left.middle[1]
    line = _path(p, f"M{left.right + 4} {y} H{right.x - 4}")
    return line + _label(p, (left.right + right.x) / 2, y - 10, text)


def _frame(p: Palette, x: float, y: float, width: float, height: float, text: str) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="12" fill="{p.frame}" stroke="{p.line}" '
        f'stroke-dasharray="4 4"/>'
        f'<text x="{x + 16}" y="{y + 22}" font-size="12" fill="{p.soft}">{escape(text)}</text>'
    )


def _box(p: Palette, box: Box) -> str:
    fill, line = (p.wash, p.accent) if box.ours else (p.card, p.line)
    x, y = box.middle
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="8" fill="{fill}" '
        f'stroke="{line}" stroke-width="1.5"/>'
        f'<text x="{x}" y="{y - 3}" text-anchor="middle" font-size="15" font-weight="600">{escape(box.title)}</text>'
        f'<text x="{x}" y="{y + 17}" text-anchor="middle" font-size="12.5" fill="{p.soft}">{escape(box.detail)}</text>'
    )


def _path(p: Palette, d: str, *, push: bool = False, arrow: bool = True, both: bool = False) -> str:
    name, colour = ("push", p.accent) if push else ("grey", p.soft)
    ends = f' marker-end="url(#{name})"' if arrow else ""
    ends += f' marker-start="url(#{name})"' if both else ""
    return f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="{2 if push else 1.5}"{ends}/>'


def _label(p: Palette, x: float, y: float, text: str, *, anchor: str = "middle", colour: str | None = None) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="12.5" fill="{colour or p.soft}">{escape(text)}</text>'
    )


def main() -> None:
    """Write one file for each scheme."""
    PICTURES.mkdir(exist_ok=True)
    for scheme, palette in PALETTES.items():
        path = PICTURES / f"architecture-{scheme}.svg"
        path.write_text(draw(palette), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
