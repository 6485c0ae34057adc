"""What the user sees of long work."""

import io

import pytest
from rich.console import Console

from smdown.plan import Receipt
from smdown.runtime import progress as progresses
from smdown.runtime.progress import BarProgress, PlainProgress


def test_plain_lines_come_at_most_every_ten_seconds(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progresses.time, "perf_counter", lambda: clock[0])
    said = []
    with PlainProgress(said.append).stage("predict", 100, done=10) as bar:
        for _ in range(90):
            clock[0] += 0.5
            bar.advance(Receipt("t", pixels=1_000_000))
    assert said == [
        "predict: 30/100, 2.00 Mpx/s",
        "predict: 50/100, 2.00 Mpx/s",
        "predict: 70/100, 2.00 Mpx/s",
        "predict: 90/100, 2.00 Mpx/s",
        "predict: 100/100 in 45.0 s",
    ]


def test_bars_show_names_and_reasons_as_they_are():
    bars = BarProgress()
    bars._console = Console(file=io.StringIO(), width=120, force_terminal=False)
    with bars.stage("train", 10) as bar:
        bar.update(3, 12, "dnn epoch 3")
        bar.fail("tile[/0-1]", "OSError: [Errno 28] no space on [/data]")
        bar.advance(Receipt("t", pixels=5))
    bars.say("a [bold] plain text[/x]")
    text = bars._console.file.getvalue()
    assert "failed tile[/0-1]: OSError: [Errno 28] no space on [/data]" in text
    assert "a [bold] plain text[/x]" in text
    assert "4/12" in text


@pytest.mark.parametrize(("tty", "kind"), [(True, BarProgress), (False, PlainProgress)])
def test_bars_are_for_terminals(monkeypatch, tty, kind):
    monkeypatch.setattr(progresses.sys.stderr, "isatty", lambda: tty, raising=False)
    assert isinstance(progresses.open_progress(), kind)
