"""What the user sees of long work."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from smdown.plan import Receipt
from smdown.runtime import progress as progresses
from smdown.runtime.outcome import StoppedError
from smdown.runtime.progress import BarProgress, PlainProgress
from smdown.runtime.tally import Tally, duration_text, facts

GIB = 2**30


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progresses.time, "perf_counter", lambda: now[0])
    return now


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), width=80, force_terminal=False)


def test_plain_lines_come_at_most_every_ten_seconds(clock):
    said = []
    with PlainProgress(said.append).stage("predict", 100, done=10, bytes_planned=2 * GIB) as bar:
        for n in range(90):
            clock[0] += 0.5
            bar.advance(Receipt("t", pixels=1_000_000, peak_bytes=GIB + n))
    assert said == [
        "predict: 30/100, 2.00 Mpx/s, eta 0:00:35, mem 1.00/2.00 GiB",
        "predict: 50/100, 2.00 Mpx/s, eta 0:00:25, mem 1.00/2.00 GiB",
        "predict: 70/100, 2.00 Mpx/s, eta 0:00:15, mem 1.00/2.00 GiB",
        "predict: 90/100, 2.00 Mpx/s, eta 0:00:05, mem 1.00/2.00 GiB",
        "predict: 100/100 in 45.0 s, 2.00 Mpx/s, mem 1.00/2.00 GiB",
    ]


def test_failures_count_as_seen_to_and_are_said(clock):
    said = []
    with PlainProgress(said.append).stage("predict", 4) as bar:
        clock[0] += 5
        bar.fail("t1", "OSError: https://me:hidden-word@host/x broke")
        clock[0] += 5
        bar.advance(Receipt("t2", pixels=10_000_000))
    assert said == [
        "predict: failed t1: OSError: https://***@host/x broke",
        "predict: 1/4, 1.00 Mpx/s, eta 0:00:10, 1 failed",
        "predict: 1/4 in 10.0 s, 1.00 Mpx/s, 1 failed",
    ]


def test_the_time_left_of_work_in_parts_is_that_of_its_part(clock):
    said = []
    with PlainProgress(said.append).stage("train", 1) as bar:
        for done, total, text in [(4, 160, "samples"), (160, 160, "samples"), (20, 40, "dnn"), (30, 40, "dnn")]:
            clock[0] += 10
            bar.update(done, total, text)
    assert said[0] == "train: 4/160, eta -, samples"
    assert said[2:4] == ["train: 20/40, eta -, dnn", "train: 30/40, eta 0:00:10, dnn"]


def test_work_that_is_broken_off_says_so():
    said = []
    with pytest.raises(StoppedError), PlainProgress(said.append).stage("predict", 4):
        raise StoppedError("stopped", None)
    assert said == ["predict: 0/4 in 0.0 s, stopped"]


def test_a_terminal_of_eighty_columns_shows_all_facts(terminal, clock):
    with BarProgress(terminal).stage("baselines", 178_068, 20_000, bytes_planned=int(16.25 * GIB)) as bar:
        clock[0] += 40_000
        for n in range(100_000):
            bar._tally.count(Receipt(str(n), pixels=10_000_000, peak_bytes=12 * GIB))
        for n in range(120):
            bar._tally.count_failed(str(n), "broke")
        bar.advance(Receipt("t", pixels=1))
    shown = terminal.file.getvalue()
    assert all(len(line) <= 80 for line in shown.splitlines())
    first, second = shown.splitlines()
    assert re.fullmatch(r"baselines  \S+ *120001/178068 +67% 11:06:40", first.rstrip())
    assert second.strip() == "25.00 Mpx/s, mem 12.00/16.25 GiB, 120 failed"


def test_under_way_a_terminal_shows_the_time_left(terminal, clock):
    with BarProgress(terminal).stage("predict", 10) as bar:
        clock[0] += 30
        bar.advance(Receipt("t", pixels=30_000_000, peak_bytes=GIB))
        bars = bar._watchers[0]._bars
        _, line = bars.get_renderables()
        assert line.plain.strip() == "1.00 Mpx/s, eta 0:04:30, mem 1.00 GiB"


def test_bars_show_names_and_reasons_as_they_are(terminal):
    bars = BarProgress(terminal)
    with bars.stage("train", 10) as bar:
        bar.update(3, 12, "dnn epoch 3")
        bar.fail("tile[/0-1]", "OSError: [Errno 28] no space on [/data]")
        bar.advance(Receipt("t", pixels=5))
    bars.say("a [bold] plain text[/x]")
    text = terminal.file.getvalue()
    assert "failed tile[/0-1]: OSError: [Errno 28] no space on [/data]" in text
    assert "a [bold] plain text[/x]" in text
    assert "4/12" in text


@pytest.mark.parametrize(("tty", "kind"), [(True, BarProgress), (False, PlainProgress)])
def test_bars_are_for_terminals(monkeypatch, tty, kind):
    monkeypatch.setattr(progresses.sys.stderr, "isatty", lambda: tty, raising=False)
    assert isinstance(progresses.open_progress(), kind)


@given(
    st.integers(0, 20_000), st.integers(0, 200_000), st.integers(0, 999), st.integers(0, 10**12), st.integers(0, 10**6)
)  # fmt: skip
def test_a_plain_line_fits_eighty_columns(done, left, failed, pixels, seconds):
    tally = Tally("baselines", done + left, bytes_planned=16 * GIB)
    tally.done, tally.failed, tally.pixels, tally.bytes_peak = done, failed, pixels, 12 * GIB
    tally._began -= seconds
    line = ", ".join([f"{tally.stage}: {tally.done}/{tally.total}", *facts(tally)])
    assert len(line) <= 84
    assert len(", ".join(facts(tally))) + 11 <= 80


@given(st.floats(0, 1e8))
def test_a_time_is_said_to_the_second_or_the_hour(seconds):
    text = duration_text(seconds)
    if "d" in text:
        days, hours = text.removesuffix("h").split("d ")
        assert abs(int(days) * 86400 + int(hours) * 3600 - seconds) <= 3600
    else:
        hours, minutes, rest = (int(part) for part in text.split(":"))
        assert abs(hours * 3600 + minutes * 60 + rest - seconds) <= 0.5
        assert hours < 24
