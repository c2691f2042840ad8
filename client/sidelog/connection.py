"""A worker's connection to a daemon: its queues, its sender thread, who waits for it, and its end."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sidelog import last_words, launch, ranks, terminated
from sidelog.calls import FlushRequest, RunEnd
from sidelog.delivery import Delivery
from sidelog.left_spool import LeftSpool, left_spools, remove_drafts
from sidelog.outbox import Outbox
from sidelog.patience import Patience
from sidelog.pool import SlotPool
from sidelog.reentry import Flag, Watched, lent
from sidelog.runs import RunHandle, Runs
from sidelog.sender import Sender
from sidelog.settings import Settings, spool_folders
from sidelog.snapshot import Snapshotter
from sidelog.speaker import Speaker
from sidelog.spool import SUFFIX as SPOOL_SUFFIX
from sidelog.spool import Spool
from sidelog.statistics import Statistics
from sidelog_shared.errors import TransportError, WriterError
from sidelog_shared.locks import is_held_by_someone
from sidelog_shared.records import Worker
from sidelog_shared.rendezvous import Rendezvous
from sidelog_shared.wakeup import Wakeup

log = logging.getLogger("sidelog")

FLUSH_TIMEOUT_S = 10.0
NOBODY_ANSWERS_S = 5.0
"""Who has waited for so long, and there never was a connection, waits for a daemon that is not there."""
REFUSED_S = 3.0
"""So long ``close()`` waits for a run that is refused, which is asked for again every second, before it gives up."""
SPEAK_S = 1.0
"""So long the end of a connection waits for a handler of ``logging`` that is being told something."""
LOOK_S = 0.5
"""So long who asks how things stand waits for the sender thread to be done with what it is at: a disk may be slow."""
_MAX_SAID = 1000
"""So many different things are said; a flood of more is summed up in one line a minute."""
_SUM_UP_S = 60.0


@dataclass(slots=True)
class _Wait:
    """Somebody waits.

    Attributes:
        begun: since when; monotonic seconds, as all of these.
        timeout_s: how long, as they were told.
        until: until when.
        show_progress: whether they are told how it goes.
        shown: when they were told last.
    """

    begun: float
    timeout_s: float
    until: float
    show_progress: bool
    shown: float = field(init=False)

    def __post_init__(self) -> None:
        self.shown = self.begun


class Connection:
    """A worker's connection to a daemon, with its queues and its sender thread.

    Args:
        settings: see :class:`Settings`.
        rendezvous: where the local daemon is found; None for a daemon given by endpoint.
        left: what another process left in its spool: this connection goes on in its name, until it is written.
        patience_s: who has waited for so long, and no daemon ever answered, need not wait any longer
            (``NOBODY_ANSWERS_S``).
    """

    def __init__(
        self,
        settings: Settings,
        rendezvous: Rendezvous | None,
        left: LeftSpool | None = None,
        *,
        patience_s: float | None = None,
    ) -> None:
        self.settings = settings
        self._rendezvous = rendezvous
        self._logdir = _default_logdir()
        self._said: set[str] = set()
        self._speaker = Speaker(self.say)
        self._unsaid = 0
        self._patience = Patience(lambda: self._settled)
        self._sum_up_at = 0.0
        self._runs = Runs()
        self._begun_at = time.monotonic()
        self._refused = 0
        self._wakeup = Wakeup()
        self.pool = SlotPool(settings.arena_bytes)
        self._ended = False
        self._tells_of_left_spools = left is None and not terminated.is_multiprocessings()
        self.outbox = Outbox(self._wake, pressure_bytes=settings.arena_bytes // 4, heavy_bytes=settings.heavy_bytes)
        self.snapshotter = Snapshotter(self.pool, overflow_bytes=settings.overflow_bytes)
        self.worker = _new_worker() if left is None else left.worker
        self.spool = self._new_spool() if left is None else left.spool
        self._delivery = Delivery(self.worker, self.outbox, self._runs, say=self._speaker.add, spool=self.spool)
        self._watched = Watched(self._delivery.statistics, Statistics())
        if left is not None:
            self._delivery.restore(left)
        self._sender = Sender(
            self._delivery,
            self.outbox,
            wakeup=self._wakeup,
            changes=self._watched,
            find_endpoint=self._find_endpoint,
            daemon_lives=self._daemon_lives,
            patience_s=NOBODY_ANSWERS_S if patience_s is None else patience_s,
            memory_is_short=lambda: self.pool.used_bytes > settings.arena_bytes // 2,
            say=self._speaker.add,
            speak=self._speaker.speak,
        )
        self._sender.start()

    def _new_spool(self) -> Spool:
        name = f"{self.worker.host}-{self.worker.pid}-{self.worker.id}{SPOOL_SUFFIX}"
        paths = [folder / name for folder in spool_folders()]
        return Spool(
            paths,
            self.worker,
            budget_bytes=self.settings.spool_bytes,
            say=self._speaker.add,
            endpoint=self.settings.endpoint,
        )

    @property
    def where(self) -> str:
        """The daemon, for messages."""
        return self.settings.endpoint or "the local daemon"

    def say(self, text: str) -> None:
        """Tell the user something, once."""
        if text in self._said:
            return
        if len(self._said) < _MAX_SAID:
            self._said.add(text)
            log.warning("sidelog: %s", text)
            return
        # A flood, of texts that differ in a step, say: neither all of it nor silence helps.
        self._unsaid += 1
        now = time.monotonic()
        if now >= self._sum_up_at:
            self._sum_up_at = now + _SUM_UP_S
            log.warning("sidelog: %s (and %s more warnings, not shown)", text, f"{self._unsaid - 1:,}")
            self._unsaid = 0

    def _wake(self) -> None:
        if self._ended:
            self.say("what is called after sidelog's own exit handler is not written: close() earlier")
        else:
            self._wakeup.wake()

    # Runs

    def open_run(self, path: str) -> RunHandle:
        """A handle on a run; see :meth:`Runs.open`."""
        handle = self._runs.open(path)
        self._wakeup.wake()
        return handle

    def close_run(self, run: RunHandle) -> None:
        if self._runs.close(run):
            self.outbox.put_fence(RunEnd(run, run.closings))

    @property
    def unused(self) -> bool:
        return self._runs.unused

    def knows(self, run: RunHandle) -> bool:
        """Whether a run is open, or not all of its records have settled."""
        return self._runs.by_id.get(run.id) is run

    # What callers wait for

    def flush(
        self,
        runs: Iterable[RunHandle],
        *,
        everything: bool,
        timeout_s: float,
        show_progress: bool,
        refused_s: float | None = None,
    ) -> None:
        """Wait until the light records that were called before are settled, or everything is.

        Args:
            runs: those that are waited for.
            everything: heavy records and pictures too; and for a run that is refused, a while.
            timeout_s: so long; less where somebody has just waited so long in vain, see :meth:`patience_s`.
            show_progress: say every second how many are left.
            refused_s: how long that while is (``REFUSED_S``).

        Raises:
            TransportError: it is not, by the deadline; says what is outstanding and why.
            WriterError: the daemon refused one of ``runs``.
            ProtocolError: the daemon speaks another version.
        """
        if self._sender.runs_here:
            return  # in a finalizer: it would wait for itself
        if self._ended:
            if self.outbox.late:
                raise TransportError(
                    f"{self.outbox.late:,} calls came after sidelog's own exit handler and are not written"
                )
            return
        runs = list(runs)
        begun = time.monotonic()
        until = begun + self.patience_s(timeout_s)
        refused_until = min(until, begun + (REFUSED_S if refused_s is None else refused_s)) if everything else begun
        wait = _Wait(begun, timeout_s, until, show_progress)
        while True:
            request = FlushRequest(everything, frozenset(run.id for run in runs))
            self._await(request, wait)
            problem = self._delivery.problem_of(runs)
            may_pass = any(run.refused and not run.is_hopeless for run in runs)
            if problem is None or not may_pass or time.monotonic() >= refused_until:
                break
            with self._lent():
                time.sleep(0.1)  # its answer comes within a second
        if problem is not None:
            is_kept = may_pass and isinstance(problem, WriterError)
            raise WriterError(f"{problem}{self._where_kept}") if is_kept else problem
        if request.error is not None:
            raise request.error
        refused, self._refused = self.outbox.refused - self._refused, self.outbox.refused
        if refused:
            raise TransportError(f"{refused:,} calls were not taken because too many waited for {self.where}")

    def _await(self, request: FlushRequest, wait: _Wait) -> None:
        """Put a request behind all that was called, and wait for its answer."""
        self.outbox.put_fence(request)
        while not self._is_set(request.done, 0.1):
            now = time.monotonic()
            if self._delivery.failure is not None:
                raise self._delivery.failure
            waited_s = now - wait.begun
            is_hopeless = self._sender.is_hopeless(waited_s)
            if is_hopeless or now >= wait.until:
                self._patience.was_in_vain(wait.timeout_s if is_hopeless else waited_s)
                raise self._too_late(waited_s)
            if wait.show_progress and now - wait.shown >= 1.0:
                wait.shown = now
                self._show_progress(waited_s, wait.timeout_s)

    def _lent(self) -> AbstractContextManager[None]:
        """While a caller waits for the sender, which may need what code that was interrupted for it holds."""
        return lent(self.outbox.lock, self.pool.lock)

    def _is_set(self, flag: Flag, timeout_s: float) -> bool:
        with self._lent():
            return flag.wait(timeout_s)

    def patience_s(self, timeout_s: float) -> float:
        """See :meth:`Patience.of`."""
        return self._patience.of(timeout_s)

    @property
    def waits_in_vain(self) -> bool:
        """See :attr:`Patience.is_in_vain`."""
        return self._patience.is_in_vain

    @property
    def _settled(self) -> int:
        """Records of which a daemon has told what became of them."""
        now = self.statistics()
        return now.written + now.rejected

    def _show_progress(self, waited_s: float, deadline_s: float) -> None:
        pending = self.statistics().pending
        if pending:
            what = "writing the last %d records" if self._sender.is_live else "waiting for a daemon for %d records"
            log.warning(f"sidelog: {what} (%.0f of %.0f s)", pending, waited_s, deadline_s)

    def _too_late(self, waited_s: float) -> TransportError:
        pending = self.statistics().pending
        if self._sender.has_ended or not self._sender.is_live:
            why = self._sender.problem or f"no daemon answers at {self.where}"
            start = f"; to start one: sidelog daemon --bind {self.settings.endpoint} --logdir DIR"
            hint = start if self.settings.endpoint else ""
            return TransportError(f"{pending:,} records are not written: {why}{hint}{self._where_kept}")
        why = self._delivery.last_trouble
        told = (f"its last word: {why}" if why else "it is slow") + self._where_kept
        return TransportError(f"{pending:,} records are not written after {waited_s:.1f} s by {self.where}: {told}")

    @property
    def _where_kept(self) -> str:
        return last_words.Kept(self.spool.path).words if self.spool.exists else ""

    def statistics(self) -> Statistics:
        with self._lent():
            return self._watched.see(LOOK_S)

    @property
    def runs_here(self) -> bool:
        """Whether it is the sender's own thread that asks: in a finalizer, where the garbage collector came by."""
        return self._sender.runs_here

    # Its end

    def end_by(self, deadline_s: float) -> None:
        """Begin to end, and do not wait for it; :meth:`stop` must follow."""
        # Else a thread that goes on logging would keep this busy until the deadline.
        self.outbox.end()
        self._sender.end_by(deadline_s)

    def stop(self, deadline_s: float) -> None:
        """Take nothing more, settle what is left until the deadline, and end. What was lost is said."""
        self.outbox.end()
        try:
            with self._lent():
                self._sender.stop(deadline_s, lambda waited_s: self._show_progress(waited_s, deadline_s))
        except KeyboardInterrupt:  # nobody wants to wait: what is not settled goes into the spool, at once
            self._sender.stop(0.0, lambda waited_s: self._show_progress(waited_s, 0.0))
            raise
        finally:
            self._end()

    def _end(self) -> None:
        with self._lent():
            self._speaker.finish(SPEAK_S)
        is_first, self._ended = not self._ended, True
        end = self.statistics()
        if is_first:
            took_s = time.monotonic() - self._begun_at
            log.info("sidelog: %s", last_words.summary(end, self._runs, took_s))
        if self._sender.has_ended:
            self._wakeup.close()
            self.spool.close()
        spool = last_words.Kept(self.spool.path, self.spool.exists)
        for text in last_words.warnings(end, spool=spool, why=self._sender.problem):
            log.warning("sidelog: %s", text)

    @contextmanager
    def paused(self) -> Iterator[None]:
        with self._lent(), self._sender.paused():
            yield

    # The daemon

    def _find_endpoint(self, gives_up: Callable[[], bool]) -> str:
        if self._tells_of_left_spools:
            self._tells_of_left_spools = False
            self._tell_of_left_spools()
        if self._rendezvous is None:
            return self.settings.endpoint
        return launch.find_or_start(self._rendezvous, logdir=self._logdir, gives_up=gives_up).endpoint

    def _tell_of_left_spools(self) -> None:
        """A process that was killed has no last words: the next one says what it left."""
        remove_drafts(spool_folders())
        left = left_spools(spool_folders())
        if left:
            self._speaker.add(
                f"{len(left)} earlier processes left records that are not known to be in the event files, "
                f"in {left[0].parent}: sidelog replay --all"
            )

    def _daemon_lives(self) -> bool:
        try:
            return self._rendezvous is not None and is_held_by_someone(self._rendezvous.lock_file)
        except OSError as error:  # descriptors have run out, say: then it is not certain that it lives
            self._speaker.add(f"whether the daemon lives cannot be seen: {error}")
            return False


def _default_logdir() -> str:
    """Where a daemon that is started here puts runs that are given by name."""
    try:
        return str(Path("runs").absolute())
    except OSError:  # the current folder is gone
        return str(Path.home() / "runs")


def _new_worker() -> Worker:
    rank = ranks.detect()
    return Worker(
        id=secrets.token_hex(8),
        host=socket.gethostname(),
        pid=os.getpid(),
        rank=None if rank is None else rank.rank,
        world_size=None if rank is None else rank.world_size,
    )
