"""What holds for a worker's records whatever happens to its connections and daemons."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from delivery_rig import WORKER, Rig
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidelog.calls import FlushRequest
from sidelog.left_spool import open_left_spool
from sidelog.phase import Phase
from sidelog_shared.errors import TransportError
from sidelog_shared.limits import PART_BYTES
from sidelog_shared.records import Lane

RUNS = ("/runs/a", "/runs/b", "/busy")
CALLS = (
    "scalar", "scalar", "scalar", "text", "picture", "picture", "picture", "large", "clip", "clip", "flush", "close"
)  # fmt: skip
EXCHANGES = ("exchange", "exchange", "look", "look", "deliver", "deliver", "answer", "answer", "tick", "heartbeat")
DAEMON = ("write", "render", "render", "encode", "commit")
TROUBLE = ("break", "drain", "down", "crash", "wait", "wait", "busy", "full")
STEPS = CALLS + EXCHANGES + DAEMON + TROUBLE


class Life:
    """A rig to which things happen, and the count of what was called."""

    def __init__(self, spool: Path) -> None:
        self.rig = Rig(spool)
        self.light: dict[str, list[str]] = {path: [] for path in RUNS}
        self.heavy: dict[str, list[str]] = {path: [] for path in RUNS}
        self.calls = 0
        self.flushes: list[FlushRequest] = []
        self.draining = False
        self.handles = [self.rig.open_run(path) for path in RUNS]

    def step(self, what: str, choice: int) -> None:
        rig = self.rig
        run = choice % len(RUNS)
        run_id = self.handles[run].id
        match what:
            case "scalar":
                self.calls += 1
                rig.scalar(self.calls, run=run_id)
                self.light[RUNS[run]].append(f"loss {self.calls}")
            case "text":
                self.calls += 1
                rig.text(f"note {self.calls}", run=run_id)
                self.light[RUNS[run]].append(f"note {self.calls}")
            case "picture" | "large":
                self.calls += 1
                nbytes = 2 * PART_BYTES if what == "large" else 4
                rig.picture(f"map {self.calls}", run=run_id, nbytes=nbytes)
            case "clip":
                self.calls += 1
                # Now and then in parts; when there is no room it is not taken, and lost.
                if rig.clip(f"clip {self.calls}", run=run_id, nbytes=PART_BYTES * (1 + choice % 3)):
                    self.heavy[RUNS[run]].append(f"clip {self.calls}")
            case "encode":
                rig.daemon.encode()
            case "flush":
                self.flushes.append(rig.flush(everything=choice % 2 == 1))
            case "close":
                rig.end_run(self.handles[run])
                self.handles[run] = rig.open_run(RUNS[run])
            case "exchange":
                rig.exchange(choice % 3 + 1)
            case "look":
                rig.look(choice)
            case "deliver":
                rig.deliver(choice % 8)
            case "answer":
                rig.answer(choice % 4)
            case "write":
                rig.daemon.write(choice % 5)
            case "render":
                rig.daemon.render(choice, ("written", "written", "dropped", "rejected")[choice % 4])
            case "commit":
                rig.daemon.commit()
            case "tick":
                rig.daemon.tick()
            case "heartbeat":
                rig.delivery.heartbeat(float(choice))
            case "break":
                rig.connect()
            case "drain":
                self.draining = True
                rig.daemon.carry_out(rig.daemon.reception.drain())
            case "down" if self.draining:
                rig.daemon.finish()
                rig.daemon.carry_out(rig.daemon.reception.farewell())
                rig.answer(choice)
                self.crash()
            case "crash":
                self.crash()
            case "wait":  # long enough for the spool, and for asking again
                rig.pass_time(2.0)
            case "busy":  # another daemon takes a run directory, or lets go of it; it shows when it is next opened
                rig.disk.busy ^= {RUNS[run]}
            case "full":  # the disk below a run directory fills up, or there is room again
                rig.disk.full ^= {RUNS[run]}

    def crash(self) -> None:
        self.draining = False
        self.rig.new_daemon()

    def replay(self) -> None:
        """The process has ended; its spool is written by another, to a daemon that is there then."""
        rig = self.rig
        assert rig.spool is not None
        spooled = rig.statistics.spooled
        rig.spool.close()
        path = rig.spool.path
        assert path.exists() == (spooled > 0)
        if spooled:
            left = open_left_spool(path, say=rig.said.append)
            assert left.worker == WORKER
            other = Rig(left=left)
            other.disk = rig.disk
            other.disk.busy.clear()
            other.disk.full.clear()
            other.new_daemon()
            other.settle()
            assert other.statistics.pending == other.statistics.lost == other.statistics.rejected == 0
            left.spool.close()
        for path_of_run in RUNS:
            assert rig.written(path_of_run) == self.light[path_of_run]
            assert rig.written(path_of_run, Lane.HEAVY) == self.heavy[path_of_run]

    def check(self) -> None:
        """Nothing is counted twice or forgotten, at any time."""
        assert self.rig.statistics.logged == self.calls

    def end(self) -> None:
        if self.draining:
            self.crash()
        self.rig.settle()
        self.rig.disk.busy.clear()
        self.rig.disk.full.clear()
        self.rig.pass_time(2.0)
        self.rig.settle()
        statistics = self.rig.statistics
        for path in RUNS:
            assert self.rig.written(path) == self.light[path]
            assert self.rig.written(path, Lane.HEAVY) == self.heavy[path]
        on_disk = [entry for entries in self.rig.disk.written.values() for entry in entries]
        assert len({(lane, seq) for lane, seq, _ in on_disk}) == len(on_disk)
        assert statistics.written == len(on_disk)
        assert statistics.pending == 0
        assert statistics.logged == self.calls
        assert all(memory.end for memory in self.rig.memories)
        assert all(request.done.is_set() and request.error is None for request in self.flushes)
        if self.rig.delivery.phase is Phase.LIVE:
            self.rig.leave()
            assert self.rig.statistics == statistics


@settings(max_examples=400)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 40)), max_size=80))
# A WELCOME that is lost, with pictures of which some had arrived.
@example([("look", 9), ("deliver", 7), ("write", 4), ("picture", 0), ("picture", 0), ("break", 0), ("look", 9)])
def test_every_light_record_is_written_once_and_every_picture_ends_once(steps: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as folder:
        life = Life(Path(folder, "spool"))
        for what, choice in steps:
            life.step(what, choice)
            life.check()
        life.end()
        assert list(Path(folder).iterdir()) == []  # what was written is not kept


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 40)), max_size=60))
def test_what_is_given_up_is_in_the_spool_and_written_once_when_it_is_replayed(steps: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as folder:
        life = Life(Path(folder, "spool"))
        for what, choice in steps:
            life.step(what, choice)
        life.rig.delivery.abandon(TransportError("the deadline has passed"))
        statistics = life.rig.statistics
        assert statistics.pending == 0
        assert statistics.logged == life.calls
        assert all(memory.end for memory in life.rig.memories)
        assert all(request.done.is_set() for request in life.flushes)
        life.replay()
