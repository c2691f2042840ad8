from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from descriptors import kept_open_below
from sidelog_shared import locks
from sidelog_shared.errors import WriterError
from sidelog_shared.locks import FileLock, is_held_by_someone


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


HOLD = """
import sys
from sidelog_shared.locks import FileLock
lock = FileLock(sys.argv[1])
print("held" if lock.try_acquire(b'{"pid": 4711}') else "busy", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process_holds(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_one_holder_at_a_time(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)
    assert first.try_acquire()
    assert not second.try_acquire()
    assert (first.held, second.held) == (True, False)
    first.release()
    assert second.try_acquire()
    second.release()
    assert path.exists()


def test_a_lock_of_another_process_is_seen_and_ends_with_it(path: Path) -> None:
    lock = FileLock(path)
    with another_process_holds(path) as process:
        assert is_held_by_someone(path)
        assert not lock.try_acquire(b"mine")
        assert lock.holder_note() == b'{"pid": 4711}'
        process.kill()
        process.wait()
        assert not is_held_by_someone(path)
        assert lock.try_acquire(b"mine")
        assert lock.holder_note() == b"mine"
        lock.release()


FORK = """
import os, sys
from sidelog_shared.locks import FileLock, is_held_by_someone
lock = FileLock(sys.argv[1])
assert lock.try_acquire(b"parent")
child = os.fork()
if child == 0:
    code = 0 if not lock.held else 1
    if sys.argv[2] == "release":
        lock.release()
    elif lock.try_acquire(b"child"):
        code = 2
    os._exit(code)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
assert lock.held
assert is_held_by_someone(sys.argv[1])
assert lock.holder_note() == b"parent"
lock.release()
assert not is_held_by_someone(sys.argv[1])
"""


@pytest.mark.parametrize("what", ["release", "acquire"])
def test_a_forked_child_does_not_free_or_share_its_parents_lock(path: Path, what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(path), what], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


FORK_AND_DIE = """
import os, sys, threading
from sidelog_shared import locks
path = sys.argv[1]
open(path, "w").close()

forked, in_child = os.pipe()

def fork():
    if os.fork() == 0:
        os.write(in_child, b"!")  # after the hooks
        os.read(0, 1)
        os._exit(0)

def fork_and_die(fd, operation, flock=locks.fcntl.flock):
    # Another thread forks while this one holds the lock, and then the parent is killed.
    flock(fd, operation)
    if operation & locks.fcntl.LOCK_EX:
        forker = threading.Thread(target=fork)
        forker.start()
        forker.join()
        os.read(forked, 1)
        print("dead", flush=True)
        os.kill(os.getpid(), 9)

locks.fcntl.flock = fork_and_die
locks.is_held_by_someone(path) if sys.argv[2] == "probe" else locks.FileLock(path).try_acquire()
"""


@pytest.mark.parametrize("what", ["probe", "acquire"])
def test_a_child_that_was_forked_while_it_was_held_does_not_keep_it(path: Path, what: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORK_AND_DIE, str(path), what], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"dead\n"
        assert process.wait() == -signal.SIGKILL
        # The child lives: it still has its end of standard output.
        assert not select.select([process.stdout], [], [], 0)[0]
        assert not is_held_by_someone(path)
        process.stdin.close()
        assert process.stdout.read() == b""  # it has ended


def test_release_frees_it_although_a_child_still_has_it_open(path: Path) -> None:
    lock = FileLock(path)
    assert lock.try_acquire()
    assert lock._fd is not None
    inherited = os.dup(lock._fd)  # what a fork leaves in a child that never closes it
    lock.release()
    assert not is_held_by_someone(path)
    os.close(inherited)


def test_release_and_the_context_manager_are_idempotent(path: Path) -> None:
    with FileLock(path) as lock:
        lock.release()
        assert lock.try_acquire()
    lock.release()
    assert not lock.held
    assert kept_open_below(path.parent) == []


def test_the_holder_may_replace_its_note(path: Path) -> None:
    with FileLock(path) as lock:
        assert lock.try_acquire(b'{"endpoint": "ipc:///a/long/path"}')
        assert lock.try_acquire(b'{"pid": 1}')
        assert lock.holder_note() == b'{"pid": 1}'


def test_a_lock_is_in_place_while_its_file_is(path: Path) -> None:
    lock, other = FileLock(path), FileLock(path)
    assert not lock.is_in_place()
    assert lock.try_acquire()
    assert lock.is_in_place()
    path.unlink()
    assert not lock.is_in_place()
    assert other.try_acquire()  # on an inode of its own
    assert (lock.is_in_place(), other.is_in_place()) == (False, True)
    lock.release()
    other.release()


def test_a_missing_file_is_not_held_and_is_not_made_by_asking(path: Path) -> None:
    assert not is_held_by_someone(path)
    assert FileLock(path).holder_note() == b""
    assert not path.exists()


def test_acquire_waits_until_the_holder_lets_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder, lock = FileLock(path), FileLock(path)
    assert holder.try_acquire()
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: holder.release())
    assert lock.acquire(30, note=b"second")
    assert lock.holder_note() == b"second"
    lock.release()


def test_acquire_gives_up_at_its_deadline(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0

    def pass_time(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(locks.time, "monotonic", lambda: now)
    monkeypatch.setattr(locks.time, "sleep", pass_time)
    with FileLock(path) as holder:
        assert holder.try_acquire()
        assert not FileLock(path).acquire(0.5)
    assert now == pytest.approx(100.5)


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_said_so(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    path.touch()
    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with pytest.raises(WriterError, match="expected a file system with flock"):
        FileLock(path).try_acquire()
    with pytest.raises(WriterError, match=os.strerror(number)):
        is_held_by_someone(path)
    assert kept_open_below(path.parent) == []


def test_a_lock_whose_note_cannot_be_written_is_not_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(locks.os, "pwrite", disk_full)
    lock = FileLock(path)
    with pytest.raises(OSError, match="No space left"):
        lock.try_acquire(b"note")
    assert not lock.held
    assert not is_held_by_someone(path)


def test_the_file_is_private_and_not_inherited_by_programs(path: Path) -> None:
    with FileLock(path) as lock:
        assert lock.try_acquire()
        assert lock._fd is not None
        assert path.stat().st_mode & 0o777 == 0o600
        assert not os.get_inheritable(lock._fd)
