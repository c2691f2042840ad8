"""The faults: what each does, and how it is undone. One small class for each; a scene is all they touch."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import shutil
import signal
import struct
from pathlib import Path
from typing import ClassVar

from processes import is_gone, wait_until
from torture.content import SIDE
from torture.daemons import Control, freeze, wait_for_next_second
from torture.fleet import Member
from torture.scene import Scene
from torture.spools import damage, spool_of
from torture.strict_reader import end_of_last_marker, framed

STOPPED_S = 5.0


class NotDone(Exception):
    """There was nothing to do it to; says why. It is counted apart."""


class Fault:
    """One kind of fault.

    Attributes:
        name: as it is chosen and told.
        target: whom it meets; see ``plan.GAPS_S``.
        means: what is done, in a line.
    """

    name: ClassVar[str]
    target: ClassVar[str]
    means: ClassVar[str]

    @classmethod
    def hindrance(cls, scene: Scene) -> str:
        """Why this machine cannot do it; nothing where it can."""
        return ""

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        """Do it, wait as long as it lasts, undo it; returns what there is to say.

        Raises:
            NotDone: there is nothing to do it to.
        """
        raise NotImplementedError


# The daemon behind the proxy


class DaemonKill(Fault):
    name, target, means = "daemon-kill", "daemon", "SIGKILL, started again after up to 2 s"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        scene.hand.kill()
        scene.wait(chosen.uniform(0, 2))
        scene.hand.start()
        return ""


class DaemonKillInFlush(Fault):
    name, target = "daemon-kill-in-flush", "daemon"
    means = "SIGKILL before the n-th system call below the event files, or after half a write"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        try:
            said = _kill_in_flush(scene, scene.hand.control, chosen, lambda: not scene.hand.runs)
            if chosen.random() < 0.5:
                # And again while it opens the folders: recovery may be cut short as well.
                number = chosen.randint(1, 6)
                scene.hand.control.order(kill_at=number, torn=chosen.random() < 0.3)
                scene.hand.kill()
                scene.hand.start()
                if _wait(scene, lambda: not scene.hand.runs):
                    said += f", then call {number}: {scene.hand.control.last_call()}"
            return said
        finally:
            scene.hand.control.clear()
            if not scene.hand.runs:
                scene.hand.kill()
                scene.hand.start()


class DaemonStop(Fault):
    name, target, means = "daemon-stop", "daemon", f"SIGSTOP for {STOPPED_S:.0f} s, then SIGCONT"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        scene.hand.signal(signal.SIGSTOP)
        scene.wait(STOPPED_S)
        scene.hand.signal(signal.SIGCONT)
        return ""


class DaemonTerm(Fault):
    name, target, means = "daemon-term", "daemon", "SIGTERM; it must end with 0; started again"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        scene.hand.signal(signal.SIGTERM)
        code = scene.hand.wait(60)
        if code:
            scene.notes.violations.append(f"the daemon ended with {code} at SIGTERM: {scene.hand.words()[-1000:]}")
        scene.hand.start()
        return f"exit code {code}"


class DaemonRestart(Fault):
    name, target, means = "daemon-restart", "daemon", "SIGKILL and started again, twice within one second"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        wait_for_next_second()
        for _ in range(2):
            scene.hand.kill()
            scene.hand.start()
        return ""


class DiskFull(Fault):
    name, target, means = "disk-full", "daemon", "a file takes all that is left of a small tmpfs, for 4 s"

    @classmethod
    def hindrance(cls, scene: Scene) -> str:
        return "" if scene.has_small_disk else "no tmpfs can be mounted: the hook lets writes fail with ENOSPC instead"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        if not scene.has_small_disk:
            return _failing(scene, scene.hand.control, "ENOSPC", 4.0)
        filler = scene.tcp_logdir / "filler"
        with filler.open("wb", buffering=0) as file:
            room = os.statvfs(scene.tcp_logdir)
            # Some pages stay, so that the next group is cut off in the middle.
            keep = chosen.choice([0, 0, 1, 2]) * room.f_frsize
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, room.f_bavail * room.f_frsize - keep))
                while not keep and file.write(b"x" * room.f_frsize):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        scene.wait(4.0)
        filler.unlink()
        return f"{keep} bytes left"


class ReadOnly(Fault):
    name, target = "read-only", "daemon"
    means = "for 3 s the hook lets open, write and rename fail with EROFS or EACCES (root passes over modes)"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        return _failing(scene, scene.hand.control, chosen.choice(["EROFS", "EACCES"]), 3.0)


class RunFull(Fault):
    name, target = "run-full", "daemon"
    means = "for 6 s the hook lets open, write and rename fail with ENOSPC in one run's folder; the others go on"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        run = _run_of(scene, chosen)
        scene.hand.control.order(errno="ENOSPC", below=str(run))
        scene.wait(6.0)
        scene.hand.control.clear()
        return str(run.relative_to(scene.tcp_logdir))


class RunHeld(Fault):
    name, target = "run-held", "daemon"
    means = "SIGKILL; somebody else holds the lock of a run for 6 s, while the next daemon writes the others"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        run = _run_of(scene, chosen)
        scene.hand.kill()
        fd = os.open(run / ".sidelog.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            scene.hand.start()
            scene.wait(6.0)
            fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)
        return str(run.relative_to(scene.tcp_logdir))


class FolderDeleted(Fault):
    name, target = "folder-deleted", "daemon"
    means = "the folder of a run is removed while its daemon stands still: what was in it is not asked for any more"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        folders = sorted({scene.tcp_logdir / member.run for member in scene.fleet.members("tcp")})
        begun = [run for run in folders if list(run.glob("*tfevents*"))]
        if not begun:
            raise NotDone("no run has an event file yet")
        run = chosen.choice(begun)
        freeze(scene.hand.pid)
        scene.read_before_deletion(run, scene.tcp_logdir)
        shutil.rmtree(run)
        scene.hand.signal(signal.SIGCONT)
        scene.wait(1.0)
        return run.name


class ClockBack(Fault):
    name, target, means = "clock-back", "daemon", "SIGKILL; started again with a clock that is one hour behind"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        scene.hand.control.order(clock_shift_s=-3600)
        scene.hand.kill()
        scene.hand.start()
        scene.wait(3.0)
        scene.hand.control.clear()
        return ""


class DescriptorLimit(Fault):
    name, target = "descriptor-limit", "daemon"
    means = "SIGTERM; started again for 4 s with room for very few folders (RLIMIT_NOFILE), then as before"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        limit = chosen.choice([132, 136, 144])
        scene.hand.control.order(nofile=limit)
        scene.hand.signal(signal.SIGTERM)
        scene.hand.wait(60)
        scene.hand.start()
        scene.wait(4.0)
        scene.hand.control.clear()
        scene.hand.kill()
        scene.hand.start()
        return f"ulimit -n {limit}"


class TornFile(Fault):
    name, target = "torn-file", "daemon"
    means = "SIGKILL; behind the last marker of an event file stands what was never acknowledged, or half of it"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        scene.hand.kill()
        said = []
        for run in sorted({member.run for member in scene.fleet.members("tcp")}):
            files = sorted((scene.tcp_logdir / run).glob("*tfevents*"))
            if not files:
                continue
            data = files[-1].read_bytes()
            end = end_of_last_marker(data)
            tail = _tail(chosen)
            with files[-1].open("r+b") as file:
                if end < len(data):
                    file.truncate(chosen.randint(end, len(data)))
                    said.append(f"{run}: cut")
                else:
                    file.seek(0, os.SEEK_END)
                    file.write(tail)
                    said.append(f"{run}: {len(tail)} bytes more")
        scene.hand.start()
        return "; ".join(said)


class SpoolCorrupt(Fault):
    name, target = "spool-corrupt", "daemon"
    means = "SIGKILL of the daemon, 3 s later of a worker; in its spool some bytes are other ones"
    how = "corrupt"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        scene.hand.kill()
        scene.wait(3.0)
        try:
            member = _taken(scene, chosen, "tcp")
            scene.fleet.kill(member)
            scene.replace(member.site)
            spool = spool_of(member.site.spool, member.process.pid)
            kept = set() if spool is None else damage(spool, self.how, chosen)
            if spool is None or not kept:
                raise NotDone(f"{member.name} left no records in a spool")
            scene.notes.damaged[member.name] = kept
            if self.how == "corrupt":
                scene.notes.damaged_files.add(spool)
            return f"{member.name}: {len(kept)} records"
        finally:
            scene.hand.start()


class SpoolTruncated(SpoolCorrupt):
    name = "spool-truncated"
    means = "SIGKILL of the daemon, 3 s later of a worker; its spool is cut off within a message"
    how = "truncated"


# The daemon that writers start


class LocalKill(Fault):
    name, target, means = "local-kill", "local", "SIGKILL; its writers start the next"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        _local_pid(scene)
        scene.local.kill()
        return ""


class LocalKillInFlush(Fault):
    name, target = "local-kill-in-flush", "local"
    means = DaemonKillInFlush.means

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        pid = _local_pid(scene)
        return _kill_in_flush(scene, scene.local.control, chosen, lambda: is_gone(pid))


class LocalStop(Fault):
    name, target, means = "local-stop", "local", DaemonStop.means

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        pid = _local_pid(scene)
        os.kill(pid, signal.SIGSTOP)
        scene.wait(STOPPED_S)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return "it was on its way out when it was stopped"
        return ""


class LocalTerm(Fault):
    name, target, means = "local-term", "local", "SIGTERM; its writers start the next"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        pid = _local_pid(scene)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: is_gone(pid), 60, what=f"the local daemon, process {pid}, ends")
        return ""


class LocalReadOnly(Fault):
    name, target, means = "local-read-only", "local", ReadOnly.means

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        _local_pid(scene)
        return _failing(scene, scene.local.control, chosen.choice(["EROFS", "EACCES"]), 3.0)


class LocalClockBack(Fault):
    name, target, means = "local-clock-back", "local", "SIGKILL; the next one's clock is one hour behind, for 4 s"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        _local_pid(scene)
        scene.local.control.order(clock_shift_s=-3600)
        scene.local.kill()
        scene.wait(4.0)
        scene.local.control.clear()
        scene.local.kill()
        return ""


# The workers


class WorkerKill(Fault):
    name, target, means = "worker-kill", "worker", "SIGKILL of a worker; its spool is replayed at the end"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        member = _taken(scene, chosen)
        scene.fleet.kill(member)
        scene.replace(member.site)
        return member.name


class WorkerFork(Fault):
    name, target, means = "worker-fork", "worker", "a worker forks, and the child logs too"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        member = chosen.choice(scene.fleet.members())
        member.tell("fork")
        return member.name


class WorkerExit(Fault):
    name, target, means = "worker-exit", "worker", "the program ends without close()"
    word = "exit"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        member = _taken(scene, chosen)
        scene.fleet.end(member, self.word)
        scene.replace(member.site)
        return member.name


class WorkerOsExit(WorkerExit):
    name, means, word = "worker-os-exit", "os._exit, which runs no exit handler", "os._exit"


class WorkerClose(WorkerExit):
    name, means, word = "worker-close", "a worker ends as it should, with close(), amid the other faults", "close"


# The network between the workers and the daemon by hand


class TcpCut(Fault):
    name, target, means = "tcp-cut", "network", "all connections are closed"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        if not _wait(scene, lambda: scene.proxy.connections > 0):
            raise NotDone("no connection")
        return f"{scene.proxy.cut()} connections"


class TcpDelay(Fault):
    name, target, means = "tcp-delay", "network", "every piece waits up to 0.3 s, for 4 s"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        scene.proxy.delay_s = chosen.uniform(0.02, 0.3)
        said = f"{scene.proxy.delay_s * 1000:.0f} ms"
        scene.wait(4.0)
        scene.proxy.delay_s = 0.0
        return said


class TcpHalfOpen(Fault):
    name, target = "tcp-half-open", "network"
    means = "one direction is not forwarded for up to 6 s, and nothing is closed"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        direction, seconds = chosen.choice(["up", "down"]), chosen.uniform(1, 6)
        scene.proxy.hold(direction)
        scene.wait(seconds)
        scene.proxy.release()
        return f"{direction}, {seconds:.1f} s"


class TcpDuplicate(Fault):
    name, target = "tcp-duplicate", "network"
    means = "what a client has said is said again, byte by byte, on a connection beside its own"

    def inject(self, scene: Scene, chosen: random.Random) -> str:
        if not _wait(scene, lambda: scene.proxy.connections > 0):
            raise NotDone("no connection")
        try:
            return f"{scene.proxy.duplicate():,} bytes"
        except OSError as error:
            raise NotDone(f"no daemon just now ({error})") from None


def _subclasses(kind: type[Fault]) -> list[type[Fault]]:
    return [one for sub in kind.__subclasses__() for one in (sub, *_subclasses(sub))]


FAULTS: dict[str, type[Fault]] = {kind.name: kind for kind in _subclasses(Fault)}
"""Name -> fault."""


def _wait(scene: Scene, predicate: object, deadline_s: float = 8.0) -> bool:
    """Wait for what may not come, such as the n-th call of a daemon that makes fewer."""
    assert callable(predicate)
    waited = 0.0
    while not predicate():
        if waited >= deadline_s or not scene.wait(0.05):
            return False
        waited += 0.05
    return True


def _kill_in_flush(scene: Scene, control: Control, chosen: random.Random, is_dead: object) -> str:
    number = chosen.randint(1, 25)
    control.order(kill_at=number, torn=chosen.random() < 0.4)
    came = _wait(scene, is_dead)
    control.clear()
    if not came:
        raise NotDone(f"call {number} did not come")
    return f"call {number}: {control.last_call()}"


def _taken(scene: Scene, chosen: random.Random, site: str = "") -> Member:
    member = scene.fleet.take(chosen, site)
    if member is None:
        raise NotDone("no worker")
    return member


def _local_pid(scene: Scene) -> int:
    """The local daemon; waited for, as its writers may just be starting it."""
    if not _wait(scene, lambda: scene.local.pid is not None):
        raise NotDone("no local daemon came up")
    pid = scene.local.pid
    if pid is None:
        raise NotDone("the local daemon has gone by itself")
    return pid


def _run_of(scene: Scene, chosen: random.Random) -> Path:
    """A run that some worker logs into: its own, or the one beside it."""
    runs = [scene.tcp_logdir / member.run for member in scene.fleet.members("tcp")]
    begun = sorted({run for one in runs for run in (one, one / SIDE) if list(run.glob("*tfevents*"))})
    if not begun:
        raise NotDone("no run has an event file yet")
    return chosen.choice(begun)


def _failing(scene: Scene, control: Control, code: str, seconds: float) -> str:
    control.order(errno=code)
    scene.wait(seconds)
    control.clear()
    return code


def _tail(chosen: random.Random) -> bytes:
    """What may stand behind a marker: noise, a whole record that nobody has acknowledged, half of one."""
    record = framed(b"\x09" + struct.pack("<d", 1.7e9) + b"\x1a\x0dbrain.Event:9")
    match chosen.choice(["noise", "record", "half", "length"]):
        case "noise":
            return chosen.randbytes(chosen.randint(1, 200))
        case "record":
            return record
        case "half":
            return record[: chosen.randint(1, len(record) - 1)]
    return record[:8]
