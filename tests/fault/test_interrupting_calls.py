"""Calls that come in the middle of a call, on the same thread: of signal handlers, finalizers, handlers of ``logging``.

Where a test says that a lock is held, that stands for a call that was interrupted while it had it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import sidelog
from event_files import read_run
from processes import finish, start_script, wait_until
from sidelog import policies
from sidelog.policies import Policies
from sidelog.reentry import Watched, lent

INTERRUPTED = """
import random, signal, sys, time
import numpy as np
import sidelog
folder, what = sys.argv[1:]
writer = sidelog.SummaryWriter(folder)
writer.policy("kept", keep="all")
picture = np.zeros((1, 4, 4), np.float32)
calls = {
    "scalar": lambda tag, step: writer.add_scalar(tag, step, step),
    "scalars": lambda tag, step: writer.add_scalars(tag, {str(step % 300): step}, step),
    "text": lambda tag, step: writer.add_text(tag, str(step), step),
    "audio": lambda tag, step: writer.add_audio(tag, picture.reshape(-1), step),
    "picture": lambda tag, step: writer.add_image(tag, picture, step),
    "kept": lambda tag, step: writer.add_image("kept", picture, step),
    "hparams": lambda tag, step: writer.add_hparams({"lr": step}, {"m": 1.0}, name=f"{tag}{step}"),
    "flush": lambda tag, step: (writer.add_scalar(tag, step, step), writer.flush()),
    "statistics": lambda tag, step: (writer.add_scalar(tag, step, step), writer.statistics()),
}
log = calls[what]
log("first", 0)
interruptions, goes_on = 0, True

def interrupt(*_):
    global interruptions
    interruptions += 1
    log("handler", interruptions)
    if goes_on:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0002, 0.002))

signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.001)
steps = 0
while interruptions < 150:
    steps += 1
    log("main", steps)
    time.sleep(0.002 if what == "hparams" else 0.0001)  # no daemon opens more runs
goes_on = False
signal.setitimer(signal.ITIMER_REAL, 0)
writer.close()
print(writer.statistics().logged, writer.statistics().lost, steps + interruptions + 1)
"""


@pytest.mark.parametrize(
    "what", ["scalar", "scalars", "text", "audio", "picture", "kept", "hparams", "flush", "statistics"]
)
def test_a_signal_handler_may_log_whatever_it_interrupts(what: str, runtime_dir: Path, tmp_path: Path) -> None:
    status, out, errors = finish(start_script(INTERRUPTED, str(tmp_path / "run"), what))
    assert status == 0, errors
    logged, lost, calls = map(int, out.split())
    assert lost == 0
    assert logged == calls * (2 if what == "hparams" else 1)


def test_what_is_logged_in_a_handler_and_around_it_stands_once(runtime_dir: Path, tmp_path: Path) -> None:
    status, out, errors = finish(start_script(INTERRUPTED, str(tmp_path / "run"), "text"))
    assert status == 0, errors
    run = read_run(tmp_path / "run")
    for tag in ("main", "handler"):
        steps = [step for step, _ in run.texts[tag]]
        assert steps == list(range(1, len(steps) + 1))
    assert sum(map(len, run.texts.values())) == int(out.split()[2])


def test_a_sigterm_handler_may_close_whatever_it_interrupts(runtime_dir: Path, tmp_path: Path) -> None:
    """What a scheduler's warning is for."""
    code = """
import signal, sys
import numpy as np
import sidelog
writer = sidelog.SummaryWriter(sys.argv[1])
picture = np.zeros((1, 8, 8), np.float32)

def save(*_):
    writer.add_text("end", "preempted", 0)
    writer.close()
    sys.exit(0)

signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
step = 0
while True:
    step += 1
    writer.add_text("note", str(step), step)
    writer.add_image("picture", picture, step)
"""
    for number in range(8):
        folder = tmp_path / f"run-{number}"
        training = start_script(code, str(folder))
        assert training.stdout is not None
        assert training.stdout.readline() == "ready\n"
        training.send_signal(signal.SIGTERM)
        status, _, errors = finish(training)
        assert status == 0, errors
        assert read_run(folder).texts["end"] == [(0, "preempted")]


@contextmanager
def _held(*locks: threading.RLock) -> Iterator[None]:  # type: ignore[valid-type]  # a function, before Python 3.13
    for lock in locks:
        lock.acquire()
    try:
        yield
    finally:
        for lock in reversed(locks):
            lock.release()


@pytest.mark.parametrize("wait", ["flush", "close", "statistics", "paused"])
def test_who_waits_in_the_middle_of_a_call_lends_the_sender_what_that_call_has(
    wait: str, runtime_dir: Path, tmp_path: Path
) -> None:
    writer = sidelog.SummaryWriter(tmp_path / "run")
    picture = np.zeros((1, 4, 4), np.float32)
    writer.add_image("picture", picture, 0)
    recorder = writer._recorder
    assert recorder is not None
    connection = recorder.connection
    with _held(connection.outbox.lock, connection.pool.lock):
        writer.add_image("picture", picture, 1)
        writer.add_text("note", "in between", 1)
        if wait == "flush":
            writer.flush(pictures=True)
            assert writer.statistics().written == 3
        elif wait == "close":
            writer.close()
        elif wait == "statistics":
            assert writer.statistics().logged == 3
        else:
            with sidelog.paused():
                pass
    writer.close()
    assert len(read_run(tmp_path / "run").images["picture"]) == 2


def test_locks_that_are_lent_are_had_again_as_often() -> None:
    lock, other = threading.RLock(), threading.RLock()
    taken = threading.Event()

    def take() -> None:
        with lock:
            taken.set()

    with lock, lock:
        thread = threading.Thread(target=take)
        with lent(lock, other):
            thread.start()
            assert taken.wait(10)
        thread.join()
        assert not _can_be_taken(lock)
    assert _can_be_taken(lock)
    assert _can_be_taken(other)


def _can_be_taken(lock: threading.RLock) -> bool:  # type: ignore[valid-type]  # as above
    found: list[bool] = []

    def look() -> None:
        if lock.acquire(blocking=False):
            lock.release()
            found.append(True)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return bool(found)


class _Logged(logging.Handler):
    """A program's own log, in TensorBoard."""

    def __init__(self, log: Callable[[str, int], object]) -> None:
        super().__init__()
        self._log = log
        self.heard = 0
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard += 1
        try:
            self._log(record.getMessage(), self.heard)
        except Exception as error:
            self.errors.append(error)


@contextmanager
def _heard_by(handler: logging.Handler) -> Iterator[None]:
    logging.getLogger("sidelog").addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger("sidelog").removeHandler(handler)


@pytest.mark.parametrize("what", ["text", "scalars", "flush", "statistics", "close"])
def test_a_handler_of_logging_may_log_what_it_hears_of_us(what: str, runtime_dir: Path, tmp_path: Path) -> None:
    writer = sidelog.SummaryWriter(tmp_path / "run")
    calls: dict[str, Callable[[str, int], object]] = {
        "text": lambda text, step: writer.add_text("log", text, step),
        "scalars": lambda _, step: writer.add_scalars("logs", {f"key{step}": 1.0}, step),
        "flush": lambda text, step: (writer.add_text("log", text, step), writer.flush()),
        "statistics": lambda text, step: (writer.add_text("log", text, step), writer.statistics()),
        "close": lambda text, step: (writer.add_text("log", text, step), writer.close()),
    }
    handler = _Logged(calls[what])
    with _heard_by(handler):
        writer.add_scalar("loss", 1.0, 5)
        writer.add_scalar("loss", 1.0, 4)  # steps that do not grow: the daemon tells the sender
        writer.flush()
        wait_until(lambda: handler.heard > 0, what="it is said")
        writer.add_scalar("loss", 1.0, 6)
        writer.flush()
        writer.close()
    run = read_run(tmp_path / "run")
    assert [step for step, _ in run.scalars["loss"]] == [5, 4, 6]
    assert handler.errors == []
    if what != "scalars":
        assert "do not grow" in run.texts["log"][0][1]
    else:
        assert (tmp_path / "run" / "logs" / "key1").is_dir()


def test_a_handler_of_logging_that_stands_still_holds_up_no_record(runtime_dir: Path, tmp_path: Path) -> None:
    """Nobody reads the pipe of a training's standard error, say."""
    goes_on = threading.Event()
    handler = _Logged(lambda *_: goes_on.wait(60))
    writer = sidelog.SummaryWriter(tmp_path / "run")
    with _heard_by(handler):
        writer.add_scalar("loss", 1.0, 5)
        writer.add_scalar("loss", 1.0, 4)
        writer.flush()
        wait_until(lambda: handler.heard > 0, what="it is said")
        writer.add_scalar("loss", 1.0, 6)
        writer.flush()
        assert [step for step, _ in read_run(tmp_path / "run").scalars["loss"]] == [5, 4, 6]
        goes_on.set()
        writer.close()
    assert handler.errors == []


def test_who_flushes_in_a_handler_waits_for_nobody_that_waits_for_it(runtime_dir: Path, tmp_path: Path) -> None:
    """A signal handler that interrupts a handler of ``logging`` meets it with its lock taken."""
    writer = sidelog.SummaryWriter(tmp_path / "run")
    handler = _Logged(lambda *_: None)
    with _heard_by(handler):
        handler.acquire()
        try:
            writer.add_scalar("loss", 1.0, 5)
            writer.add_scalar("loss", 1.0, 4)
            writer.flush()
            writer.add_scalar("loss", 1.0, 6)
            writer.flush()
            assert handler.heard == 0
        finally:
            handler.release()
        writer.close()
        assert handler.heard > 0


def test_a_finalizer_may_close_on_any_thread(runtime_dir: Path, tmp_path: Path) -> None:
    """The garbage collector comes by wherever something is made, most often in the sender's thread."""
    writer, other = sidelog.SummaryWriter(tmp_path / "run"), sidelog.SummaryWriter(tmp_path / "other")
    assert writer._recorder is not None
    connection = writer._recorder.connection
    writer.add_scalar("loss", 1.0, 1)
    closed = threading.Event()

    class Finalized:
        def __del__(self) -> None:
            assert connection.runs_here
            writer.flush()
            writer.close()
            closed.set()

    leftovers = [Finalized()]
    look = connection._delivery.ask_again

    def with_garbage(now: float) -> None:
        leftovers.clear()
        look(now)

    connection._delivery.ask_again = with_garbage  # type: ignore[method-assign]
    assert closed.wait(30)
    other.close()
    assert read_run(tmp_path / "run").scalars["loss"] == [(1, 1.0)]


def test_a_program_whose_log_goes_to_tensorboard_ends(runtime_dir: Path, tmp_path: Path) -> None:
    code = """
import logging, sys
import sidelog
writer = sidelog.SummaryWriter(sys.argv[1])

class ToTensorBoard(logging.Handler):
    def emit(self, record):
        writer.add_scalars("logs", {record.levelname: 1.0}, 0)
        writer.flush()

logging.getLogger().addHandler(ToTensorBoard())
for step in range(100):
    writer.add_scalar("loss", step, step % 50)
"""
    status, _, errors = finish(start_script(code, str(tmp_path / "run")))
    assert status == 0, errors
    assert len(read_run(tmp_path / "run").scalars["loss"]) == 100


def test_a_child_that_is_forked_while_a_thread_looks_for_a_policy_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Policies()
    rules.add("layer*", "latest", 1)
    looks, goes_on = threading.Event(), threading.Event()

    def slowly(tag: str, pattern: str) -> bool:
        looks.set()
        goes_on.wait(30)
        return False

    monkeypatch.setattr(policies, "fnmatchcase", slowly)
    thread = threading.Thread(target=rules.of, args=("layer1",))
    thread.start()
    assert looks.wait(10)
    monkeypatch.undo()
    pid = os.fork()
    if not pid:
        signal.alarm(20)  # ends it, should it hang
        rules.add("other", "all", 1)
        os._exit(0 if rules.of("other").keep_all and rules.admits("layer2") else 1)
    goes_on.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class TestWatched:
    """Looking at what another thread changes."""

    def test_a_look_waits_until_a_change_is_whole(self) -> None:
        numbers = {"called": 1, "written": 1}
        watched = Watched(lambda: dict(numbers), {})
        half, goes_on = threading.Event(), threading.Event()

        def change() -> None:
            with watched:
                numbers["called"] = 2
                half.set()
                goes_on.wait(30)
                numbers["written"] = 2

        thread = threading.Thread(target=change)
        thread.start()
        assert half.wait(10)
        threading.Timer(0.05, goes_on.set).start()
        assert watched.see(30) == {"called": 2, "written": 2}
        thread.join()

    def test_it_does_not_wait_for_ever(self) -> None:
        """A disk that hangs must not hold up who asks how things stand."""
        watched = Watched(lambda: 1, 0)
        begun, goes_on = threading.Event(), threading.Event()

        def change() -> None:
            with watched:
                begun.set()
                goes_on.wait(30)

        thread = threading.Thread(target=change)
        thread.start()
        assert begun.wait(10)
        assert watched.see(0.01) == 1, "as far as it can be seen"
        goes_on.set()
        thread.join()

    def test_the_thread_that_changes_sees_at_once(self) -> None:
        watched = Watched(lambda: 1, 0)
        with watched:
            assert watched.see(60) == 1

    def test_what_cannot_be_gone_through_is_looked_at_again(self) -> None:
        looks = 0

        def look() -> int:
            nonlocal looks
            looks += 1
            if looks < 3:
                raise RuntimeError("dictionary changed size during iteration")
            return looks

        assert Watched(look, 0).see(30) == 3

        def never() -> int:
            raise RuntimeError("dictionary changed size during iteration")

        assert Watched(never, 7).see(0) == 7, "what was seen last"
