"""Where one fault happens: a daemon, a writer that logs to it, folders of their own; all of it gone at the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from sidelog.bench.event_tail import EventTail
from sidelog.bench.faults.daemon import FaultyDaemon
from sidelog.bench.faults.disk import Disk, OrdinaryDisk, disk_that_fills
from sidelog.bench.faults.injection import DISK_FULL, SUMMARIES, Evidence, Fault
from sidelog.bench.loggers import Sidelog, wait_for_connection
from sidelog.bench.sandbox import Sandbox, environment
from sidelog_shared.errors import SidelogError

RUN = "run"
SETTLE_TIMEOUT_S = 180.0
_GOODBYE_S = 5.0
_MAX_WARNINGS = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one scene's records.

    Attributes:
        counts: records by what became of them.
        settle_s: from the end of the last phase until nothing was under way any more.
        starts: how often the daemon was started.
        evidence: what was seen of the fault.
        objections: why figures of it do not count; empty when they do.
        warnings: what sidelog told the training.
    """

    counts: dict[str, int]
    settle_s: float
    starts: int
    evidence: Evidence
    objections: list[str]
    warnings: list[str]

    def to_map(self) -> dict[str, object]:
        return {
            "counts": self.counts, "settle_s": self.settle_s, "daemon_starts": self.starts,
            "evidence": self.evidence.to_map(), "objections": self.objections, "warnings": self.warnings,
        }  # fmt: skip


class Scene:
    """A context: within it a daemon runs, and a writer is connected to it.

    Args:
        name: the fault that will happen.
        disk: what fills up where the disk is to be full: ``tmpfs``, ``told`` or ``auto``.

    Attributes:
        daemon: the daemon.
        fault: to begin and to end.
        logger: the writer and its event files.
        spool_folder: where spools are.
        warnings: what sidelog told the training meanwhile.
    """

    logger: Sidelog

    def __init__(self, name: str, *, disk: str = "auto") -> None:
        self.name = name
        self.warnings: list[str] = []
        self._which_disk = disk
        self._stack = ExitStack()

    def __enter__(self) -> Scene:
        with ExitStack() as stack:
            sandbox = stack.enter_context(Sandbox())
            self.spool_folder = sandbox.run_folder("spool")
            place = sandbox.run_folder("disk")
            self.disk: Disk = OrdinaryDisk(place)
            if self.name == DISK_FULL:
                self.disk = disk_that_fills(place, self._which_disk)
            stack.callback(self.disk.close)
            self.disk.logdir.mkdir(parents=True, exist_ok=True)
            self.daemon = FaultyDaemon(self.disk.logdir, sandbox.run_folder("daemon.log"), self.disk.program)
            stack.callback(self.daemon.stop)
            self.fault = Fault(self.name, self.daemon, self.disk, self.spool_folder)
            stack.enter_context(environment(
                {"SIDELOG_ENDPOINT": self.daemon.endpoint, "SIDELOG_SPOOL_DIR": str(self.spool_folder)}
            ))  # fmt: skip
            stack.enter_context(_heard(self.warnings))
            self.daemon.start()
            self.logger = Sidelog(Path(RUN))
            self.logger.tail = EventTail(self.disk.logdir / RUN)
            stack.callback(self._close)
            wait_for_connection(self.logger)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def summary(self) -> str:
        return SUMMARIES[self.name] + (f": {self.disk.how}" if self.name == DISK_FULL else "")

    def let_work(self, timeout_s: float) -> None:
        """Outside of anything that is timed: have written what was logged, as far as a daemon does it in time."""
        begun = time.monotonic()
        if not self.fault.is_there:
            with suppress(SidelogError):  # what is not written in the end is an objection
                self.logger.writer.flush(pictures=True, timeout_s=timeout_s)
        # With the fault there is nobody to wait for; the sender looks 20 times a second.
        time.sleep(max(0.0, min(timeout_s, 0.1) - (time.monotonic() - begun)))

    def settle(self, reliable: Mapping[str, int]) -> Outcome:
        """After the fault: wait until everything has reached its end, and compare it with the event files.

        Args:
            reliable: how many records of each tag that may not be dropped were logged.
        """
        begun, objections = time.monotonic(), []
        try:
            self.logger.writer.flush(pictures=True, timeout_s=SETTLE_TIMEOUT_S)
        except SidelogError as error:
            objections.append(f"{self.name}: {error}")
        settle_s = time.monotonic() - begun
        self.logger.tail.poll()
        for tag, count in reliable.items():
            stands = self.logger.tail.counts[tag]
            if stands != count:
                objections.append(f"{self.name}: {stands:,} of {count:,} records of {tag!r} are in the event files")
        if not self.fault.evidence.shows(self.name):
            objections.append(f"{self.name}: the fault was not seen: {self.fault.evidence.to_map()}")
        found = self.logger.writer.statistics()
        names = ("written", "rejected", "dropped", "lost", "spooled", "pending")
        counts = {name: int(getattr(found, name)) for name in names}
        objections += [f"{self.name}: {counts[name]:,} records {name}" for name in ("rejected", "spooled", "pending")
                       if counts[name]]  # fmt: skip
        return Outcome(counts, settle_s, self.daemon.starts, self.fault.evidence, objections, self.warnings)

    def _close(self) -> None:
        self.fault.end()
        with suppress(SidelogError):  # what it would say is in the outcome
            self.logger.writer.close(timeout_s=_GOODBYE_S)


@contextmanager
def _heard(words: list[str]) -> Iterator[None]:
    """Collect what sidelog says, in place of the terminal."""

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if len(words) < _MAX_WARNINGS:
                words.append(record.getMessage())

    logger, collector = logging.getLogger("sidelog"), Collector()
    propagates = logger.propagate
    logger.addHandler(collector)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagates
