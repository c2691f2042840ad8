from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from sidelog_shared import leases, locks
from sidelog_shared.errors import LocksUnsupported
from sidelog_shared.leases import STALE_S, LeaseFile, Machine, process_start, take_directory
from sidelog_shared.locks import FileLock

ELSEWHERE = Machine(host="elsewhere", boot="another-boot", namespace="pid:[1]", start_of={7: 70}.get)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".sidelog.lease"


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)


def files(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


def silence(path: Path, number: int, seconds: float) -> None:
    """As if the file server had not heard of a lease for so long."""
    name = path.with_name(f"{path.name}-{number}")
    now = name.stat().st_mtime
    os.utime(name, (now - seconds, now - seconds))


def test_one_holder_at_a_time(path: Path) -> None:
    first, second = LeaseFile(path), LeaseFile(path)
    assert first.try_acquire(b'{"endpoint": "here"}')
    assert not second.try_acquire()
    assert second.holder_note() == b'{"endpoint": "here"}'
    assert (first.held, second.held) == (True, False)
    first.release()
    assert (first.held, first.is_in_place()) == (False, False)
    assert second.try_acquire()
    second.release()
    assert files(path) == [".sidelog.lease-2"]  # the last one stays, the drafts do not


def test_says_who_holds_it(path: Path) -> None:
    lease = LeaseFile(path)
    lease.try_acquire(b"note")
    said = json.loads((path.parent / ".sidelog.lease-1").read_bytes())
    assert said["pid"] == os.getpid()
    assert said["started"] == process_start(os.getpid())
    assert said["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert (said["note"], said["released"]) == ("note", False)
    lease.release()


class TestOnTheSameMachine:
    def test_a_holder_that_was_killed_is_gone_at_once(self, path: Path) -> None:
        holder = start_holder(path)
        assert not LeaseFile(path).try_acquire()
        holder.kill()
        holder.communicate()
        lease = LeaseFile(path)
        assert lease.try_acquire()
        lease.release()

    def test_a_holder_that_is_stopped_for_long_keeps_it(self, path: Path) -> None:
        holder = start_holder(path)
        try:
            holder.send_signal(signal.SIGSTOP)
            silence(path, 1, 100 * STALE_S)
            assert not LeaseFile(path).try_acquire()
        finally:
            holder.kill()
            holder.communicate()

    def test_a_process_id_that_came_again_is_another_process(self, path: Path) -> None:
        machine = replace(ELSEWHERE)
        assert LeaseFile(path, machine=machine, pid=7).try_acquire()
        assert not LeaseFile(path, machine=machine, pid=7).try_acquire()
        later = replace(machine, start_of={7: 99, 8: 98}.get)
        assert LeaseFile(path, machine=later, pid=8).try_acquire()

    def test_another_container_is_not_looked_into(self, path: Path) -> None:
        assert LeaseFile(path, machine=ELSEWHERE, pid=7).try_acquire()
        neighbor = replace(ELSEWHERE, namespace="pid:[2]", start_of={}.get)  # where no process 7 is seen
        assert not LeaseFile(path, machine=neighbor, pid=9).try_acquire()


class TestOfAnotherMachine:
    def test_is_stale_when_the_file_server_heard_nothing_for_a_minute(self, path: Path) -> None:
        assert LeaseFile(path, machine=ELSEWHERE, pid=7).try_acquire()
        silence(path, 1, STALE_S - 10)
        lease = LeaseFile(path)
        assert not lease.try_acquire()
        silence(path, 1, 20)
        assert lease.try_acquire()
        lease.release()

    def test_this_machines_clock_is_not_asked(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert LeaseFile(path, machine=ELSEWHERE, pid=7).try_acquire()
        monkeypatch.setattr("time.time", lambda: 4e9)
        monkeypatch.setattr("time.time_ns", lambda: int(4e18))
        assert not LeaseFile(path).try_acquire()

    def test_heartbeats_keep_it(self, path: Path) -> None:
        theirs = LeaseFile(path, machine=ELSEWHERE, pid=7)
        assert theirs.try_acquire()
        silence(path, 1, 2 * STALE_S)
        assert theirs.heartbeat()
        assert not LeaseFile(path).try_acquire()

    def test_a_holder_that_comes_back_finds_that_it_lost_it(self, path: Path) -> None:
        theirs = LeaseFile(path, machine=ELSEWHERE, pid=7)
        assert theirs.try_acquire(b"theirs")
        silence(path, 1, 2 * STALE_S)
        ours = LeaseFile(path)
        assert ours.try_acquire(b"ours")
        assert not theirs.is_in_place()
        assert not theirs.heartbeat()
        theirs.release()  # and lets go of nothing
        assert ours.is_in_place()
        assert LeaseFile(path).holder_note() == b"ours"
        ours.release()

    def test_a_file_that_says_nothing_is_stale_after_a_minute(self, path: Path) -> None:
        path.with_name(f"{path.name}-4").write_bytes(b"")
        lease = LeaseFile(path)
        assert not lease.try_acquire()
        silence(path, 4, 2 * STALE_S)
        assert lease.try_acquire()
        assert files(path) == [".sidelog.lease-5"]
        lease.release()


def test_a_lease_that_was_removed_or_made_again_is_not_in_place(path: Path) -> None:
    first = LeaseFile(path)
    assert first.try_acquire()
    (path.parent / ".sidelog.lease-1").unlink()
    assert not first.is_in_place()
    second = LeaseFile(path)
    assert second.try_acquire()
    assert not first.is_in_place()  # one of the same number
    first.release()
    assert second.is_in_place()
    second.release()


def test_who_looked_long_ago_takes_no_number_that_was_removed_since(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, original = LeaseFile(path), LeaseFile._publish
    others = [LeaseFile(path) for _ in range(3)]

    def publish(self: LeaseFile, *arguments: object) -> bool:
        if self is slow and others[0] is not None and not others[2].held:
            for other in others[:2]:
                assert other.try_acquire()
                other.release()
            assert others[2].try_acquire()
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(LeaseFile, "_publish", publish)
    assert not slow.try_acquire()
    assert others[2].is_in_place()
    others[2].release()


def test_of_many_threads_that_take_over_at_once_one_gets_it(path: Path) -> None:
    for _ in range(20):
        assert LeaseFile(path, machine=ELSEWHERE, pid=7).try_acquire()
        silence(path, max(int(name.rpartition("-")[2]) for name in files(path)), 2 * STALE_S)
        rivals = [LeaseFile(path) for _ in range(8)]
        start = threading.Barrier(len(rivals))
        threads = [
            threading.Thread(target=lambda one=one, start=start: (start.wait(), one.try_acquire())) for one in rivals
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one.is_in_place() for one in rivals].count(True) == 1
        assert [one.held for one in rivals].count(True) == 1
        for one in rivals:
            one.release()


def test_of_many_processes_that_take_over_at_once_one_gets_it(path: Path) -> None:
    assert LeaseFile(path, machine=ELSEWHERE, pid=7).try_acquire()
    silence(path, 1, 2 * STALE_S)
    rivals = [start_holder(path, wait=False) for _ in range(6)]
    try:
        for rival in rivals:
            assert rival.stdin is not None
            rival.stdin.write("go\n")
            rival.stdin.flush()
        said = [rival.stdout.readline() for rival in rivals if rival.stdout is not None]
        assert sorted(said) == ["busy\n"] * 5 + ["held\n"]
    finally:
        for rival in rivals:
            rival.kill()
            rival.communicate()


def test_drafts_of_those_who_died_over_them_are_removed(path: Path) -> None:
    old, new = (path.with_name(f"{path.name}.{letter * 16}.tmp") for letter in "ab")
    for draft in (old, new):
        draft.touch()
    os.utime(old, (1.0, 1.0))
    lease = LeaseFile(path)
    assert lease.try_acquire()
    assert files(path) == [".sidelog.lease-1", new.name]
    lease.release()


def test_works_without_hard_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, os.strerror(1))

    monkeypatch.setattr(leases.os, "link", refuse)
    first, second = LeaseFile(path), LeaseFile(path)
    assert first.try_acquire(b"first")
    assert not second.try_acquire()
    assert second.holder_note() == b"first"
    first.release()
    assert second.try_acquire()
    second.release()


def test_a_forked_child_does_not_hold_it(path: Path) -> None:
    lease = LeaseFile(path)
    assert lease.try_acquire()
    child = os.fork()
    if child == 0:
        lease.release()
        os._exit(int(lease.held))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lease.is_in_place()
    lease.release()


class TestADirectory:
    def test_is_locked_where_that_can_be(self, tmp_path: Path) -> None:
        lock, taken = take_directory(tmp_path / ".sidelog.lock")
        assert taken
        assert isinstance(lock, FileLock)
        lock.release()
        assert files(tmp_path / "x") == [".sidelog.lock"]

    def test_gets_a_lease_where_it_cannot(self, tmp_path: Path, no_flock: None) -> None:
        with pytest.raises(LocksUnsupported):
            FileLock(tmp_path / ".sidelog.lock").try_acquire()
        lock, taken = take_directory(tmp_path / ".sidelog.lock", b"me")
        assert taken
        assert isinstance(lock, LeaseFile)
        other, taken = take_directory(tmp_path / ".sidelog.lock")
        assert not taken
        assert other.holder_note() == b"me"
        lock.release()

    def test_with_a_lease_of_another_machine_is_not_locked_either(self, tmp_path: Path) -> None:
        assert LeaseFile(tmp_path / ".sidelog.lease", machine=ELSEWHERE, pid=7).try_acquire(b"them")
        lock, taken = take_directory(tmp_path / ".sidelog.lock")
        assert not taken
        assert lock.holder_note() == b"them"
        silence(tmp_path / ".sidelog.lease", 1, 2 * STALE_S)
        lock, taken = take_directory(tmp_path / ".sidelog.lock")
        assert taken
        lock.release()


HOLD = """
import sys
from sidelog_shared.leases import LeaseFile
lease = LeaseFile(sys.argv[1])
if sys.argv[2] == "go":
    sys.stdin.readline()
print("held" if lease.try_acquire() else "busy", flush=True)
sys.stdin.read()
"""


def start_holder(path: Path, *, wait: bool = True) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), "now" if wait else "go"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if wait:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
    return process
