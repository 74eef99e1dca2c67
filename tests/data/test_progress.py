import contextlib
import io
import os
import subprocess
import sys
import time

import pytest

from volta.data import progress


class Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.fixture(params=["tqdm", "text"])
def bar(request, monkeypatch):
    """The kind of bar, with tqdm or as if it were not installed."""
    if request.param == "text":
        monkeypatch.setitem(sys.modules, "tqdm", None)
    else:
        pytest.importorskip("tqdm")
    return request.param


@pytest.fixture
def seconds(monkeypatch):
    """Make every look at the clock come a second after the last, so that every line is shown."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    ticks = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))


def terminal():
    # Not a fixture: pytest sets the stream anew between the fixtures and the test.
    return contextlib.redirect_stderr(Stream(terminal=True))


@pytest.mark.parametrize("disable", [None, True, False])
def test_the_items_are_those_of_the_iterable(bar, disable):
    with (
        contextlib.redirect_stderr(Stream(terminal=False)),
        progress(iter("abc"), total=3, desc="letters", disable=disable) as shown,
    ):
        items = []
        for item in shown:
            shown.set_postfix(loss=0.5, last=item)
            items.append(item)
    assert items == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("terminal", "disable", "shows"),
    [(True, None, True), (False, None, False), (False, False, True), (True, True, False)],
)
def test_it_shows_on_a_terminal_or_when_asked_to(bar, terminal, disable, shows):
    with contextlib.redirect_stderr(Stream(terminal)) as stream:
        for _ in progress([1, 2], desc="epoch", disable=disable):
            pass
    assert ("epoch: " in stream.getvalue()) == shows
    assert ("2/2" in stream.getvalue()) == shows
    if shows:
        assert stream.getvalue().endswith("\n")


def test_the_line_of_text(seconds):
    with terminal() as stream, progress(range(2), desc="epoch") as shown:
        for step in shown:
            shown.set_postfix(loss=0.123456, phase="train", step=step)
    lines = [line.rstrip() for line in stream.getvalue().split("\r")]
    assert lines[1] == "epoch: 0/2 [2.0s, 0/s, loss=0.123, phase=train, step=0]"
    assert lines[-1] == "epoch: 2/2 [9.0s, 0.222/s, loss=0.123, phase=train, step=1]"


def test_a_shorter_line_leaves_nothing_of_a_longer_one(seconds):
    with terminal() as stream, progress(range(2)) as shown:
        shown.set_postfix(phase="a long one")
        shown.set_postfix()
        _, long, short = stream.getvalue().split("\r")
    assert len(short) == len(long)
    assert short.rstrip().endswith("]")


def test_the_line_ends_once_when_the_loop_breaks(seconds):
    with terminal() as stream, progress(range(9)) as shown:
        for step in shown:
            if step == 3:
                break
    assert "\r3/9 [" in stream.getvalue()
    assert stream.getvalue().endswith("]\n")
    assert stream.getvalue().count("\n") == 1


def test_no_total_is_shown_where_there_is_none(seconds):
    with terminal() as stream:
        for _ in progress(iter("ab")):
            pass
    assert "\r2 [" in stream.getvalue()


def test_lines_are_not_written_more_often_than_the_eye_reads(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with terminal() as stream:
        for _ in progress(range(2000)):
            pass
    assert stream.getvalue().count("\r") < 20


def test_tqdm_is_imported_when_it_is_used():
    program = "import sys, volta.data; print('tqdm' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
