"""The plots show the samples, with breaks where there are none."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from sse_service.operator.plots import HEIGHT, plots
from sse_service.operator.samples import PERIOD_SECONDS, WINDOW_SECONDS
from tests.unit.operator.sampled_task import SampledTask


def figures(task: SampledTask, *, streams: int = 0) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(f"<div>{plots(task.samples.window(), streams=streams)}</div>"))


def label(figure: ElementTree.Element) -> str:
    return figure.find("svg").attrib["aria-label"]  # type: ignore[union-attr]  # each figure has one


def scale(figure: ElementTree.Element) -> list[str]:
    return [span.text or "" for span in figure.findall("p[@class='scale']/span")]


def line(figure: ElementTree.Element, name: str = "") -> str:
    return figure.find(f"svg/path[@class='line {name}']").attrib["d"]  # type: ignore[union-attr]  # each line has one


def points(path: str) -> list[tuple[str, int, float]]:
    """Return the commands of a path: M starts a line, L continues it."""
    found = re.findall(r"([ML])(\d+) ([\d.]+)", path)
    return [(command, int(x), float(y)) for command, x, y in found]


def test_a_line_ends_at_the_right_edge_with_the_newest_sample() -> None:
    task = SampledTask()
    for streams in (0, 5, 10):
        task.sample(streams=streams)
    streams, _, _ = figures(task)
    right = WINDOW_SECONDS
    assert points(line(streams)) == [
        ("M", right - 2 * PERIOD_SECONDS, HEIGHT),
        ("L", right - PERIOD_SECONDS, HEIGHT / 2),
        ("L", right, 0),
    ]


def test_a_line_moves_to_the_left_as_time_passes() -> None:
    task = SampledTask()
    task.sample(streams=1)
    task.now += 4
    streams, _, _ = figures(task)
    assert [x for _, x, _ in points(line(streams))] == [WINDOW_SECONDS - 4]


def test_a_line_is_broken_and_shaded_where_the_process_did_not_run() -> None:
    task = SampledTask()
    task.sample(streams=1)
    task.sample(streams=1)
    task.now += 120
    task.sample(streams=1)
    streams, _, _ = figures(task)
    assert [command for command, _, _ in points(line(streams))] == ["M", "L", "M"]
    before_the_start, stopped = streams.findall("svg/rect")
    assert before_the_start.attrib["x"] == "0"
    assert stopped.attrib["width"] == str(120 + PERIOD_SECONDS)
    assert "No data for" in label(streams)


def test_a_full_window_has_no_shaded_part() -> None:
    task = SampledTask()
    for _ in range(WINDOW_SECONDS // PERIOD_SECONDS + 1):
        task.sample()
    for figure in figures(task):
        assert figure.findall("svg/rect") == []
        assert "No data" not in label(figure)


def test_a_delay_is_drawn_only_where_there_were_events() -> None:
    task = SampledTask()
    task.sample(delays=(0.1,))
    task.sample()
    task.sample(delays=(0.1,))
    task.sample(delays=(0.1, 0.4))
    _, _, delay = figures(task)
    for name in ("median", "p99"):
        assert [command for command, _, _ in points(line(delay, name))] == ["M", "M", "L"]


def test_the_label_of_each_plot_has_the_current_lowest_and_highest_value() -> None:
    task = SampledTask()
    task.sample(streams=2000, events=50, delays=(0.02,))
    task.sample(streams=12, events=100, delays=(0.004, 2))
    streams, events, delay = figures(task, streams=13)
    assert label(streams).startswith("Streams open, last 15 minutes. Now: 13; lowest 12, highest 2,000.")
    assert label(events).startswith("Events delivered a second, last 15 minutes. Now: 20.0; lowest 10.0, highest 20.0.")
    assert "Now: median ≤ 5 ms, p99 ≤ 2.5 s; lowest ≤ 5 ms, highest ≤ 2.5 s." in label(delay)


def test_without_samples_a_plot_says_so() -> None:
    for figure in figures(SampledTask()):
        assert "nothing measured yet" in label(figure)


@pytest.mark.parametrize(
    ("streams", "top"), [(0, "1"), (1, "1"), (3, "5"), (10, "10"), (11, "20"), (60_000, "100,000")]
)
def test_the_scale_ends_at_a_round_number(streams: int, top: str) -> None:
    task = SampledTask()
    task.sample(streams=streams)
    assert scale(figures(task)[0]) == [top, "0"]


def test_a_delay_above_the_last_bucket_is_drawn_at_the_top_and_labelled_over() -> None:
    task = SampledTask()
    task.sample(delays=(0.02,))
    task.sample(delays=(1000,))
    _, _, delay = figures(task)
    assert scale(delay) == ["100 s", "0"]
    assert points(line(delay, "p99"))[-1][2] == 0
    assert "Now: median over 60 s, p99 over 60 s" in label(delay)


def test_plots_comply_with_the_pages_content_security_policy() -> None:
    task = SampledTask()
    task.sample(streams=1, events=1, delays=(0.1,))
    text = plots(task.samples.window(), streams=1)
    assert "style=" not in text
    assert "<script" not in text
