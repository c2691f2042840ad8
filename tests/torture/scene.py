"""Everything that a torture needs at once: folders, daemons, proxy, workers; how it is set up and taken down."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from processes import wait_until
from torture.content import Kept, Place
from torture.daemons import HandDaemon, LocalDaemon
from torture.fleet import Fleet, Site
from torture.proxy import Proxy
from torture.strict_reader import read_logdir

TMPFS_MB = 64
"""Size of the small disk, and as much again for each ten minutes."""
CLOSE_S = 150.0
"""What the workers may take at the end; far above their own exit deadline."""
EXIT_TIMEOUT_S = 60


@dataclass
class Notes:
    """What the faults did that the check must know.

    Attributes:
        deleted: what stood in folders when they were deleted.
        damaged: worker -> records in damaged messages of its spool.
        damaged_files: spools whose replay must say that they are damaged.
        violations: what went wrong on the way.
    """

    deleted: set[Place] = field(default_factory=set)
    damaged: dict[str, set[Kept]] = field(default_factory=dict)
    damaged_files: set[Path] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)


class Scene:
    """One torture's processes and folders.

    Args:
        minutes: how long it will last; the small disk grows with it.
        workers: how many log at once.

    Attributes:
        stopping: set when faults must be undone and not begun any more.
    """

    def __init__(self, *, minutes: float, workers: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slt-", dir="/tmp"))
        self.stopping = threading.Event()
        self.notes = Notes()
        self.tcp_logdir = self.folder / "tcp"
        self.local_logdir = self.folder / "local"
        self.tcp_logdir.mkdir()
        self.local_logdir.mkdir()
        self.disk_bytes = int(TMPFS_MB * (1 + minutes / 10)) << 20
        self.has_small_disk = self._mount()
        runtime = self.folder / "run"
        runtime.mkdir()
        self.hand = HandDaemon(self.folder, self.tcp_logdir)
        self.local = LocalDaemon(self.folder, runtime)
        self.hand.start()
        self.proxy = Proxy(self.hand.port)
        self.fleet = Fleet(self.folder)
        self.tcp = self._site("tcp", self.tcp_logdir, runtime, f"tcp://127.0.0.1:{self.proxy.port}")
        self.ipc = self._site("local", self.local_logdir, runtime, "")
        for number in range(workers):
            self.fleet.start((self.tcp, self.ipc)[number % 2])

    def wait(self, seconds: float) -> bool:
        """Let time pass; False when the torture is to end."""
        return not self.stopping.wait(seconds)

    def replace(self, site: Site) -> None:
        """A worker of a site has ended: another one begins."""
        if not self.stopping.is_set():
            self.fleet.start(site)

    def settle(self) -> None:
        """All daemons up and healthy, all workers told to end and gone, all spools replayed, all folders opened."""
        self.proxy.delay_s = 0.0
        self.proxy.release()
        self.hand.control.clear()
        self.local.control.clear()
        if not self.hand.runs:
            self.hand.start()
        for member in self.fleet.members():
            taken = self.fleet.take(random.Random(0), member.site.name)
            if taken is not None:
                self.fleet.end(taken, "close")
        self.notes.violations += [f"worker {name} did not end within {CLOSE_S:.0f} s: {self.fleet.words_of(name)}"
                                  for name in self.fleet.join(CLOSE_S)]  # fmt: skip
        wait_until(lambda: not self._processes("torture.worker"), 60, what="forked workers end")
        for site in (self.tcp, self.ipc):
            self._replay(site)
            self._open_all(site)

    def take_down(self) -> None:
        """The daemons end, as they do; the proxy too."""
        hand = self.hand.pid
        try:
            # Dead workers are noticed after some seconds; then no event file may be left open.
            wait_until(lambda: not self._open_event_files(hand), 60, what="the daemon lets go of all event files")
        except AssertionError as error:
            self.notes.violations.append(f"{error}: {self._open_event_files(hand)}")
        self.hand.signal(signal.SIGTERM)
        code = self.hand.wait(60)
        if code:
            self.notes.violations.append(f"the daemon ended with {code} at the end: {self.hand.words()[-2000:]}")
        self.local.stop()
        self.proxy.close()

    def left_behind(self) -> list[str]:
        """Processes, sockets, threads and shared memory that should be gone."""
        left = [f"process {pid}: {command}" for pid, command in self._processes()]
        left += [f"file {path}" for path in (self.folder / "run").rglob("*")
                 if path.is_socket() or path.suffix == ".ready"]  # fmt: skip
        left += [f"spool {path}" for path in (self.folder / "spool").rglob("*.spool")]
        left += [f"shared memory {name}" for name in os.listdir("/dev/shm") if "sidelog" in name]
        left += [f"thread {thread.name}" for thread in threading.enumerate() if thread.name.startswith("torture")]
        return left

    def read_before_deletion(self, run: Path, logdir: Path) -> None:
        """Remember what stands in a run that is about to be deleted."""
        for value in read_logdir(run).values:
            place = value.place
            directory = os.path.normpath(os.path.join(os.path.relpath(run, logdir), place.directory))
            self.notes.deleted.add(Place(directory, place.tag, place.step))

    def remove(self) -> None:
        """Remove all folders."""
        self.unmount()
        shutil.rmtree(self.folder)

    def unmount(self) -> None:
        """Give the small disk back; what is on it goes into the folder, for who wants to look."""
        if not self.has_small_disk:
            return
        kept = self.folder / "kept"
        shutil.copytree(self.tcp_logdir, kept, symlinks=True)
        subprocess.run(["umount", str(self.tcp_logdir)], check=True)
        self.tcp_logdir.rmdir()
        kept.rename(self.tcp_logdir)
        self.has_small_disk = False

    def kill_all(self) -> None:
        """Something went wrong: nothing of this torture goes on."""
        for pid, _ in self._processes():
            os.kill(pid, signal.SIGKILL)
        self.proxy.close()

    def _mount(self) -> bool:
        size = f"size={self.disk_bytes}"
        command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.tcp_logdir)]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:  # no mount on this machine
            return False

    def _site(self, name: str, logdir: Path, runtime: Path, endpoint: str) -> Site:
        control = (self.hand if endpoint else self.local).control
        spool = self.folder / "spool" / name
        environment = {
            **control.environment,
            "TORTURE_LOGDIR": str(logdir),
            "TORTURE_SITE": name,
            "SIDELOG_RUNTIME_DIR": str(runtime),
            "SIDELOG_SPOOL_DIR": str(spool),
            "SIDELOG_EXIT_TIMEOUT": str(EXIT_TIMEOUT_S),
        }
        return Site(name, logdir, environment, endpoint, spool)

    def _replay(self, site: Site) -> None:
        for path in sorted(site.spool.glob("*.spool")):
            command = [sys.executable, "-m", "sidelog.cli", "replay", str(path)]
            if site.endpoint:
                command.append(f"--endpoint={site.endpoint}")
            ran = subprocess.run(command, env={**os.environ, **site.environment}, capture_output=True, text=True,
                                 timeout=300, check=False)  # fmt: skip
            expected = 4 if path in self.notes.damaged_files else 0
            if ran.returncode != expected:
                self.notes.violations.append(
                    f"sidelog replay {path.name} ended with {ran.returncode}, expected {expected}: "
                    f"{ran.stdout}{ran.stderr}"
                )

    def _open_all(self, site: Site) -> None:
        """Open each run once more, as a training that resumes: what no marker covers is cut off."""
        runs = {path.parent for path in site.logdir.rglob("*tfevents*")}
        names = [str(run.relative_to(site.logdir) if site.endpoint else run) for run in sorted(runs)]
        program = (
            "import sys, sidelog\n"
            "endpoint, *runs = sys.argv[1:]\n"
            "first = sidelog.SummaryWriter(runs[0], endpoint=endpoint or None) if runs else None\n"
            "for run in runs:\n"
            "    sidelog.SummaryWriter(run, endpoint=endpoint or None).close()\n"
            "first and first.close()\n"
        )
        environment = {**os.environ, **site.environment}
        ran = subprocess.run([sys.executable, "-c", program, site.endpoint, *names], env=environment,
                             capture_output=True, text=True, timeout=600, check=False)  # fmt: skip
        if ran.returncode:
            self.notes.violations.append(f"the runs cannot be opened again: {ran.stderr}")

    def _open_event_files(self, pid: int) -> list[str]:
        found = []
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{name}")
            except FileNotFoundError:  # closed just now
                continue
            if target.startswith(str(self.folder)) and ("tfevents" in target or target.endswith(".sidelog.lock")):
                found.append(target)
        return found

    def _processes(self, having: str = "") -> list[tuple[int, str]]:
        """Processes of this torture, this one not among them: by what is in their environment."""
        found = []
        mark = str(self.folder).encode()
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes()
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # gone, or somebody else's
                continue
            if mark in environment and having in command:
                found.append((pid, command))
        return found
