"""The benchmarks with few streams and events: they run and find no fault. No figure is judged."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import bill, comparison, comparison_page, quota, sizes
from tests.benchmarks.bench import SMALL, Bench
from tests.benchmarks.comparison_plot import PLOTS
from tests.benchmarks.load import Load, build
from tests.benchmarks.marked_text import filled, is_marked
from tests.benchmarks.plot import plot
from tests.benchmarks.quota import NoQuotaError, Quota
from tests.benchmarks.rate import Trial, highest
from tests.benchmarks.run import CASES, main, measure
from tests.benchmarks.table import Row, line, median
from tests.benchmarks.ways import WAYS

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


SIDE_BY_SIDE = 3
COMMAND = "unicast"
"""The case that the command line measures."""
OTHERS = [case for case in CASES if case != COMMAND]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Each case without Nchan, which pip cannot install; several at a time, because no figure is judged."""
    folder = tmp_path_factory.mktemp("bench")
    program = build(folder)

    def run(case: str) -> dict[str, Any]:
        return measure(Bench(folder, program, size=SMALL, nchan=False), case)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        return dict(zip(OTHERS, threads.map(run, OTHERS), strict=True))


@pytest.mark.parametrize("case", OTHERS)
def test_a_case_finds_no_fault(runs: dict[str, dict[str, Any]], case: str) -> None:
    assert runs[case]["rows"]
    assert runs[case]["faults"] == {}


def test_the_command_prints_a_table_writes_json_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written, drawn = tmp_path / "out.jsonl", tmp_path / "out.svg"
    options = ["--small", "--runs", "1", "--without-nchan", "--json", str(written), "--plot", str(drawn)]
    assert main([COMMAND, *options]) == 0
    assert f"| {COMMAND} | CPU per event |" in capsys.readouterr().out
    run = json.loads(written.read_text())
    assert run["case"] == COMMAND
    assert run["machine"]["python"]
    assert "<path" in drawn.read_text()


def test_all_ways_to_listen_are_compared_without_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "out.jsonl"
    assert comparison.main(["--small", "--json", str(kept)]) == 0
    measured = capsys.readouterr().out
    assert all(measured.count(f"\n| {way.name} | ") >= 2 for way in WAYS)
    found = json.loads(kept.read_text())["found"]
    assert found["SSE"]["requests"] == found["WebSocket"]["requests"] == 0
    assert found["polling every second"]["requests"] > found["polling every 10 s"]["requests"] > 0
    assert comparison.main(["--from", str(kept)]) == 0
    assert capsys.readouterr().out == measured


def test_the_figures_of_the_comparison_stand_in_the_pages_as_they_were_measured() -> None:
    found = json.loads(comparison_page.KEPT.read_text())
    assert is_marked((comparison_page.FOLDER / "README.md").read_text(), "comparison")
    for page, (name, make) in comparison_page.PAGES.items():
        assert filled(page.read_text(), name, make(found)) == page.read_text()
    drawn = comparison_page.plots(found)
    assert len(drawn) == 2 * len(PLOTS)
    assert all((comparison_page.FOLDER / name).read_text() == text for name, text in drawn.items())


def test_the_bill_stands_in_its_page_as_it_is_computed() -> None:
    page = bill.PAGE.read_text()
    assert is_marked(page, "bill")
    assert filled(page, "bill", bill.tables()) == page


def test_every_price_of_the_bill_has_a_source() -> None:
    sources = bill.PAGE.read_text().partition("## Prices and sources")[2]
    prices = [value for name, value in vars(bill).items() if name.isupper() and isinstance(value, float)]
    named = {float(word.replace(",", "")) for word in re.findall(r"\d[\d,]*\.?\d*", sources)}
    assert set(prices) - {bill.DAYS, bill.POLL_KB, bill.LAMBDA} <= named


def may_set_quotas() -> bool:
    """Whether control groups can be written here."""
    try:
        with Quota(1):
            return True
    except NoQuotaError:
        return False


def test_all_sizes_are_measured_without_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "out.jsonl"
    status = sizes.main(["--small", "--json", str(written)])
    out, err = capsys.readouterr()
    if not may_set_quotas():
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("no CPU quota can be set here: ")
        return
    assert status == 0, err
    found = [json.loads(row) for row in written.read_text().splitlines()]
    assert [row["cpus"] for row in found] == [*sizes.SIZES]
    assert all(f"| {row['cpus']:g} vCPU | {row['streams']:,} |" in out for row in found)
    assert "take more tasks" in out


def test_no_size_is_measured_if_no_quota_can_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"cgroup {tmp_path}/none cgroup ro,cpu 0 0\n")
    monkeypatch.setattr(quota, "MOUNTS", mounts)
    assert sizes.main([]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("no CPU quota can be set here: ")


@pytest.mark.parametrize(("start", "capacity"), [(1_000, 1_000), (1_000, 430), (1_000, 2_900), (1_000, 1_040)])
def test_the_highest_rate_is_found_within_ten_percent(start: int, capacity: int) -> None:
    def attempt(rate: int) -> Trial:
        p99 = 10 if rate <= capacity else 2_000
        return Trial(rate, 1, p99, late=0, emptied=0, quota=1, throttled=1, load_core=0, received=10)

    tried = highest(attempt, start, tries=12)
    assert capacity / 1.11 <= max(trial.per_second for trial in tried if trial.held) <= capacity


@pytest.fixture
def faulty() -> Iterator[int]:
    """The port of a server that answers three streams wrongly, each in another way."""

    def event(number: int, user: int = 0, kind: str = "x") -> bytes:
        block = b'event: %b\ndata: {"t":0,"n":%d,"u":%d}\n\n' % (kind.encode(), number, user)
        return b"%x\r\n%b\r\n" % (len(block), block)

    stray = event(5, user=7) + event(0, kind="stream.gap", user=7)
    answers = [
        [HEAD, event(0), event(0), event(2), event(1), stray],
        [b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"],
        [HEAD, b"0\r\n\r\n"],
    ]

    def serve(listener: socket.socket) -> list[socket.socket]:
        open_ones = []
        for answer in answers:
            connection, _ = listener.accept()
            connection.recv(1000)
            # Byte by byte: the result must not depend on how the bytes are split.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"".join(answer):
                connection.send(bytes([byte]))
            if answer[-1] == b"0\r\n\r\n":
                connection.close()
            else:
                open_ones.append(connection)
        return open_ones

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        serving = threads.submit(serve, listener)
        yield listener.getsockname()[1]
        for connection in serving.result():
            connection.close()


def test_the_load_generator_counts_every_fault(tmp_path: Path, faulty: int) -> None:
    with Load(build(tmp_path), faulty, ["/a ", "/b X-Y: z", "/c "]) as load:
        load("open", 0, 3, 1)
        load("await", 0, 1, 3, 5)
        while not (faults := load("faults"))["cut"]:
            pass
        load("check", 0, 1, 5, 1)
        faults = load("faults")
    assert faults == {
        "lost": 3,  # two of its user, one for everyone
        "stray": 0,
        "doubled": 1,
        "disordered": 1,
        "misrouted": 2,
        "gaps": 1,
        "refused": 1,
        "cut": 1,
        "unpublished": 0,
    }


def test_a_single_event_has_a_rate(tmp_path: Path) -> None:
    """On a busy machine a whole burst may come in one read, with no time between its first and last event."""
    block = b'data: {"t":0,"n":0,"u":0}\n\n'
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        accepted = threads.submit(listener.accept)
        with Load(build(tmp_path), listener.getsockname()[1], ["/ "]) as load:
            opened = threads.submit(load, "open", 0, 1, 1)
            with accepted.result()[0] as connection:
                connection.sendall(HEAD)
                opened.result()
                load("reset")
                connection.sendall(b"%x\r\n%b\r\n" % (len(block), block))
                load("await", 0, 1, 1, 30)
                assert 0 < load.rate() < float("inf")


def test_a_row_shows_whether_its_bar_is_kept() -> None:
    runs = [Row("a", "µs", ours, reference, "x", 2) for ours, reference in ((1, 1), (9, 3), (10, 5))]
    row = median(runs)
    assert (row.ours, row.reference, row.ratio, row.verdict) == (9, 3, 2, "kept")
    assert line("case", row) == "| case | a | 9.00 µs | 3.00 (x) | 2.00 | <= 2 x | kept |"
    assert Row("a", "1/s", 1, 10, "x", 0.2, at_least=True).verdict == "missed"
    assert Row("a", "kB", 13, bar=12).verdict == "missed"
    assert Row("a", "kB", 13).verdict == ""


def test_a_plot_shows_only_figures_with_a_bar() -> None:
    drawn = plot([("b", Row("with <bar>", "kB", 13, bar=12)), ("b", Row("without", "kB", 13))])
    assert "with &lt;bar&gt;" in drawn
    assert "without" not in drawn
