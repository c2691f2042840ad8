"""The workers: started, told how to end, killed, replaced."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PAUSE_S = 0.02
"""Between two calls of a worker."""


@dataclass
class Site:
    """Where workers of one kind log to.

    Attributes:
        name: ``tcp`` or ``local``.
        logdir: its log folder.
        environment: what its workers need beyond the torture's own.
        endpoint: the proxy; empty for the local daemon.
        spool: folder of its spools.
    """

    name: str
    logdir: Path
    environment: dict[str, str]
    endpoint: str
    spool: Path


@dataclass
class Member:
    """A running worker."""

    name: str
    run: str
    site: Site
    process: subprocess.Popen[bytes]

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{word}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:  # it has ended: whoever waits for it sees its exit code
            pass


class Fleet:
    """All workers. Used by the threads of several targets: each takes members for itself.

    Args:
        folder: for ledgers and what the workers say.
    """

    def __init__(self, folder: Path) -> None:
        self.ledgers = folder / "ledgers"
        self._words = folder / "words"
        self.ledgers.mkdir()
        self._words.mkdir()
        self._lock = threading.Lock()
        self._members: list[Member] = []
        self._started = 0
        self.killed: dict[str, float] = {}
        """Name -> when SIGKILL was sent, seconds since the epoch."""
        self.exit_codes: dict[str, int] = {}
        self._ending: list[Member] = []

    def start(self, site: Site) -> Member:
        with self._lock:
            self._started += 1
            name = f"w{self._started}"
            # Every second one shares a run with the others of its site.
            run = "shared" if self._started % 4 in (1, 2) else name
        command = [sys.executable, "-m", "torture.worker", name, run, str(self.ledgers), str(PAUSE_S)]
        if site.endpoint:
            command.append(site.endpoint)
        with (self._words / f"{name}.log").open("wb") as words:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=words,
                stderr=words,
                env={**os.environ, **site.environment},
            )
        member = Member(name, run, site, process)
        with self._lock:
            self._members.append(member)
        return member

    def members(self, site: str = "") -> list[Member]:
        with self._lock:
            return [member for member in self._members if site in ("", member.site.name)]

    def take(self, chosen: random.Random, site: str = "") -> Member | None:
        """A worker that nobody else will choose; None where there is none."""
        with self._lock:
            members = [member for member in self._members if site in ("", member.site.name)]
            if not members:
                return None
            member = chosen.choice(members)
            self._members.remove(member)
            return member

    def kill(self, member: Member) -> None:
        """SIGKILL, and its forked children too, as a cluster's job control does."""
        member.process.kill()
        member.process.wait(30)
        self.killed[member.name] = time.time()
        self._finish(member)

    def end(self, member: Member, word: str) -> None:
        """Tell it to end; :meth:`join` waits for it."""
        member.tell(word)
        with self._lock:
            self._ending.append(member)

    def join(self, deadline_s: float) -> list[str]:
        """Wait for those that were told to end.

        Returns:
            Names of those that did not; they are killed.
        """
        until = time.monotonic() + deadline_s
        stuck = []
        with self._lock:
            ending, self._ending = self._ending, []
        for member in ending:
            try:
                member.process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                member.process.send_signal(signal.SIGABRT)  # faulthandler says where it stands
                self.kill(member)
                stuck.append(member.name)
                continue
            self._finish(member)
        return stuck

    def words_of(self, name: str) -> str:
        path = self._words / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _finish(self, member: Member) -> None:
        assert member.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it was told last did not reach it
            member.process.stdin.close()
        self.exit_codes[member.name] = member.process.wait(30)
