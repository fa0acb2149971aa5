"""The first signal ends a run between two steps, the second one the process; each script is a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ortbatch.engine.signals import StopRequest, stop_on_signals

ROOT = Path(__file__).parents[3]
BOTH = pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
START = """
import os, signal, sys, threading
from ortbatch.engine.signals import StopRequest, stop_on_signals

def tell(*words):
    print(*words, flush=True)

def come(name):
    signal.raise_signal(getattr(signal, name))
"""


def run(script: str) -> tuple[list[str], int]:
    """What a script says, and how it ends."""
    command = [sys.executable, "-c", START + script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert "Error" not in done.stderr, done.stderr
    return done.stdout.splitlines(), done.returncode


@BOTH
def test_a_signal_in_a_deferred_stretch_is_only_noted(name: str) -> None:
    script = f"""
with stop_on_signals() as stop:
    with stop.deferred():
        tell(stop())
        come("{name}")
        tell(stop())
    tell("to its end")
"""
    assert run(script) == (["False", "True", "to its end"], 0)


@BOTH
def test_a_signal_outside_of_it_raises_an_interrupt_and_is_noted(name: str) -> None:
    script = f"""
try:
    with stop_on_signals() as stop:
        come("{name}")
        tell("not reached")
except KeyboardInterrupt:
    tell("interrupted", stop())
"""
    assert run(script) == (["interrupted True"], 0)


def test_a_signal_of_another_process_is_heard_while_one_sleeps() -> None:
    script = """
import time
with stop_on_signals() as stop, stop.deferred():
    tell("ready")
    while not stop():
        time.sleep(0.01)
    tell("stopped")
"""
    with subprocess.Popen([sys.executable, "-c", START + script], stdout=subprocess.PIPE, text=True, cwd=ROOT) as told:
        assert told.stdout is not None
        assert told.stdout.readline() == "ready\n"
        told.send_signal(signal.SIGTERM)
        assert told.stdout.readline() == "stopped\n"
    assert told.returncode == 0


@pytest.mark.parametrize(("first", "second"), [("SIGTERM", "SIGTERM"), ("SIGINT", "SIGTERM"), ("SIGTERM", "SIGINT")])
def test_the_second_signal_ends_the_process_at_once(first: str, second: str) -> None:
    script = f"""
try:
    with stop_on_signals() as stop, stop.deferred():
        come("{first}")
        tell("once")
        come("{second}")
        tell("not reached")
finally:
    tell("not reached")
"""
    assert run(script) == (["once"], 130)


def test_a_second_signal_outside_of_a_deferred_stretch_ends_the_process_at_once_too() -> None:
    script = """
with stop_on_signals() as stop:
    try:
        come("SIGTERM")
    except KeyboardInterrupt:
        tell("once")
        come("SIGTERM")
        tell("not reached")
"""
    assert run(script) == (["once"], 130)


@pytest.mark.parametrize("end", ["pass", "raise ValueError"])
def test_a_deferred_stretch_is_over_however_it_ends(end: str) -> None:
    script = f"""
with stop_on_signals() as stop:
    try:
        with stop.deferred():
            {end}
    except ValueError:
        pass
    try:
        come("SIGTERM")
    except KeyboardInterrupt:
        tell("interrupted")
"""
    assert run(script) == (["interrupted"], 0)


@pytest.mark.parametrize("end", ["pass", "raise ValueError", "come('SIGTERM')"])
def test_the_handlers_from_before_are_there_again_however_it_ends(end: str) -> None:
    script = f"""
def own(number, frame):
    tell("own", number)

signal.signal(signal.SIGTERM, own)
before = signal.getsignal(signal.SIGINT)
try:
    with stop_on_signals():
        tell(signal.getsignal(signal.SIGTERM) is own, signal.getsignal(signal.SIGINT) is before)
        {end}
except (ValueError, KeyboardInterrupt):
    pass
tell(signal.getsignal(signal.SIGINT) is before)
come("SIGTERM")
"""
    assert run(script) == (["False False", "True", "own 15"], 0)


def test_after_it_a_signal_that_nobody_handles_ends_the_process_as_before() -> None:
    script = """
with stop_on_signals():
    pass
come("SIGTERM")
tell("not reached")
"""
    assert run(script) == ([], -signal.SIGTERM)


def test_signals_that_somebody_else_took_are_heard_again() -> None:
    script = """
with stop_on_signals() as stop:
    signal.signal(signal.SIGTERM, lambda number, frame: tell("theirs"))
    come("SIGTERM")
    stop.listen()
    with stop.deferred():
        come("SIGTERM")
        tell(stop())
come("SIGTERM")
"""
    assert run(script) == (["theirs", "True"], -signal.SIGTERM)


def test_listening_again_forgets_no_request() -> None:
    script = """
with stop_on_signals() as stop, stop.deferred():
    come("SIGTERM")
    stop.listen()
    tell(stop())
    come("SIGTERM")
    tell("not reached")
"""
    assert run(script) == (["True"], 130)


def in_a_thread(work: object) -> list[object]:
    """What work gives in another thread than the main one."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))  # type: ignore[operator]
    thread.start()
    thread.join()
    return found


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_in_another_thread_nothing_is_installed() -> None:
    def inside() -> list[object]:
        with stop_on_signals() as stop, stop.deferred():
            assert not stop()
            return handlers()

    before = handlers()
    assert in_a_thread(inside) == [before]
    assert handlers() == before


def test_listening_in_another_thread_installs_nothing() -> None:
    before = handlers()
    in_a_thread(StopRequest().listen)
    assert handlers() == before


def test_nothing_is_asked_until_a_signal_comes() -> None:
    with stop_on_signals() as stop:
        assert stop() is False
