"""What docs/resuming.md says, sentence by sentence: trainings that start again in a folder that has records."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import SessionLog

import sidelog
from event_files import read_run
from fast_reader import fast_scalars, fast_steps
from processes import DaemonProcess, finish, start_script, wait_until
from sidelog_shared.errors import TransportError
from torture.proxy import Proxy

StartDaemon = Callable[..., DaemonProcess]
LOG = """
import os, signal, sys, sidelog
run, begin, end, purge_step = sys.argv[1:]
with sidelog.SummaryWriter(run, purge_step=int(purge_step) if purge_step else None) as writer:
    for step in range(int(begin), int(end)):
        writer.add_scalar("loss", 0.5, step)
"""
Points = list[tuple[int, float]]

HOOK = Path(__file__).parents[1] / "torture" / "hook"
CHECKPOINT, CRASH, END = 5, 10, 15
BEFORE: Points = [(step, 0.5) for step in range(CRASH)]
AGAIN: Points = [(step, 0.25) for step in range(CHECKPOINT, END)]
CLEAN: Points = BEFORE[:CHECKPOINT] + AGAIN


def train(writer: sidelog.SummaryWriter, points: Points, tag: str = "loss") -> None:
    for step, value in points:
        writer.add_scalar(tag, value, step)


def attempt(run: Path, points: Points, tag: str = "loss", **options: int) -> None:
    """One training, from its start to its end."""
    with sidelog.SummaryWriter(run, **options) as writer:
        train(writer, points, tag)


def purges(run: Path) -> list[int]:
    """Steps of the session starts that are not a run's first."""
    found = [
        event.step
        for path in sorted(run.glob("*.sidelog"))
        for event in LegacyEventFileLoader(str(path)).Load()
        if event.session_log.status == SessionLog.START
    ]
    return found[1:]


def slow_steps(run: Path) -> dict[str, list[int]]:
    """Steps of each tag by the reader in Python that TensorBoard's pages use with ``--load_fast=false``."""
    accumulator = plugin_event_accumulator.EventAccumulator(str(run))
    accumulator.Reload()
    return {
        tag.removesuffix("/text_summary"): [one.step for one in accumulator.Tensors(tag)]
        for tag in accumulator.Tags()["tensors"]
    }


def assert_shown(run: Path, slow: dict[str, Points], fast: dict[str, Points] | None = None) -> None:
    """What both readers show; the same, unless ``fast`` says something else."""
    assert read_run(run).scalars == slow
    assert slow_steps(run) == {tag: [step for step, _ in points] for tag, points in slow.items()}
    expected = slow if fast is None else fast
    assert fast_scalars(run, expected) == expected


class TestWithPurgeStep:
    def test_what_is_logged_again_is_one_curve(self, runtime_dir: Path, tmp_path: Path) -> None:
        attempt(tmp_path / "run", BEFORE)
        attempt(tmp_path / "run", AGAIN, purge_step=CHECKPOINT)
        assert_shown(tmp_path / "run", {"loss": CLEAN})
        assert purges(tmp_path / "run") == [CHECKPOINT]

    def test_of_every_kind(self, runtime_dir: Path, tmp_path: Path) -> None:
        for begin, end, purge_step in ((0, CRASH, None), (CHECKPOINT, END, CHECKPOINT)):
            with sidelog.SummaryWriter(tmp_path / "run", purge_step=purge_step) as writer:
                for step in range(begin, end):
                    writer.add_scalar("loss", 0.5, step)
                    writer.add_text("note", f"from {begin}", step)
                    writer.add_image("picture", np.full((1, 2, 2), begin, np.uint8), step)
                writer.flush(pictures=True)
        every = list(range(END))
        expected = {"loss": every, "note": every, "picture": every}
        assert slow_steps(tmp_path / "run") == expected
        assert fast_steps(tmp_path / "run", expected) == expected
        content = read_run(tmp_path / "run")
        assert content.steps("loss") == content.steps("picture") == every
        # The older class of the two that read in Python passes over a purge for texts.
        assert content.steps("note") == [*range(CRASH), *range(CHECKPOINT, END)]

    def test_a_second_restart_purges_what_the_first_logged(self, runtime_dir: Path, tmp_path: Path) -> None:
        attempt(tmp_path / "run", BEFORE)
        attempt(tmp_path / "run", AGAIN, purge_step=CHECKPOINT)
        last = [(step, 0.125) for step in range(8, 20)]
        attempt(tmp_path / "run", last, purge_step=8)
        assert_shown(tmp_path / "run", {"loss": CLEAN[:8] + last})

    def test_what_is_not_logged_again_keeps_its_tail_in_the_fast_reader(
        self, runtime_dir: Path, tmp_path: Path
    ) -> None:
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            train(writer, BEFORE)
            train(writer, BEFORE, "given_up")
        attempt(tmp_path / "run", AGAIN, purge_step=CHECKPOINT)
        assert_shown(
            tmp_path / "run",
            {"loss": CLEAN, "given_up": BEFORE[:CHECKPOINT]},
            {"loss": CLEAN, "given_up": BEFORE},
        )

    def test_the_fast_reader_keeps_points_before_the_first_that_is_logged_again(
        self, runtime_dir: Path, tmp_path: Path
    ) -> None:
        attempt(tmp_path / "run", [(0, 0.5), (6, 0.5), (9, 0.5)])
        attempt(tmp_path / "run", [(8, 0.25), (12, 0.25)], purge_step=CHECKPOINT)
        resumed = [(8, 0.25), (12, 0.25)]
        assert_shown(
            tmp_path / "run", {"loss": [(0, 0.5), *resumed]}, {"loss": [(0, 0.5), (6, 0.5), *resumed]}
        )  # fmt: skip

    def test_of_add_scalars(self, runtime_dir: Path, tmp_path: Path) -> None:
        """Its sub-runs are runs of their own, and purged too."""
        for points, purge_step in ((BEFORE, None), (AGAIN, CHECKPOINT)):
            with sidelog.SummaryWriter(tmp_path / "run", purge_step=purge_step) as writer:
                for step, value in points:
                    writer.add_scalars("curves", {"a": value}, step)
        assert_shown(tmp_path / "run" / "curves" / "a", {"curves": CLEAN}, {"curves": CLEAN})

    def test_of_add_hparams(self, runtime_dir: Path, tmp_path: Path) -> None:
        """A trial that goes on is a run of its own as well."""
        for points, purge_step in ((BEFORE, None), (AGAIN, CHECKPOINT)):
            with sidelog.SummaryWriter(tmp_path / "run", purge_step=purge_step) as writer:
                for step, value in points:
                    writer.add_hparams({"lr": 0.1}, {"accuracy": value}, name="trial", global_step=step)
        trial = tmp_path / "run" / "trial"
        assert read_run(trial).scalars == fast_scalars(trial, {"accuracy": CLEAN}) == {"accuracy": CLEAN}
        assert slow_steps(trial)["accuracy"] == [step for step, _ in CLEAN]
        assert purges(trial) == [CHECKPOINT]


class TestWithoutPurgeStep:
    def test_the_slow_reader_shows_both_the_fast_reader_the_later(self, runtime_dir: Path, tmp_path: Path) -> None:
        attempt(tmp_path / "run", BEFORE)
        attempt(tmp_path / "run", AGAIN)
        assert_shown(tmp_path / "run", {"loss": BEFORE + AGAIN}, {"loss": CLEAN})


class TestTheDaemonIsKilled:
    """The purge happens once."""

    def test_between_the_purge_and_the_first_record(
        self, daemon: StartDaemon, runtime_dir: Path, tmp_path: Path
    ) -> None:
        endpoint = f"ipc://{runtime_dir}/d.sock"
        run = tmp_path / "run"
        first = daemon("--bind", endpoint)
        with sidelog.SummaryWriter(run, endpoint=endpoint) as writer:
            train(writer, BEFORE)
        resumed = sidelog.SummaryWriter(run, endpoint=endpoint, purge_step=CHECKPOINT)
        resumed.flush()
        assert purges(run) == [CHECKPOINT]
        first.kill()
        daemon("--bind", endpoint)
        train(resumed, AGAIN)
        resumed.close()
        assert purges(run) == [CHECKPOINT]
        assert_shown(run, {"loss": CLEAN})

    def test_when_the_purge_is_written_and_not_acknowledged(self, daemon: StartDaemon, tmp_path: Path) -> None:
        first = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
        run = tmp_path / "run"
        proxy = Proxy(int(first.endpoint.rpartition(":")[2]))
        try:
            endpoint = f"tcp://127.0.0.1:{proxy.port}"
            earlier = sidelog.SummaryWriter("run", endpoint=endpoint)
            train(earlier, BEFORE)
            earlier.flush()  # the run is open: a purge need not wait for what comes from the daemon
            proxy.hold("down")
            resumed = sidelog.SummaryWriter("run", endpoint=endpoint, purge_step=CHECKPOINT)
            wait_until(lambda: purges(run) == [CHECKPOINT], what="the purge stands in the file")
            assert resumed.statistics().pending == 1
            first.kill()
            proxy.cut()
            proxy.release()
            daemon("--bind", first.endpoint, "--logdir", str(tmp_path))
            train(resumed, AGAIN)
            resumed.close()
            earlier.close()
        finally:
            proxy.close()
        assert purges(run) == [CHECKPOINT]
        assert_shown(run, {"loss": CLEAN})

    @pytest.mark.parametrize("torn", [False, True])
    def test_before_each_system_call_that_writes_it(
        self, torn: bool, daemon: StartDaemon, runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        control = tmp_path / "control"
        monkeypatch.setenv("TORTURE_CONTROL", str(control))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HOOK), os.environ.get("PYTHONPATH", "")]))
        endpoint = f"ipc://{runtime_dir}/d.sock"
        process = daemon("--bind", endpoint)
        for nth in range(1, 100):
            run = tmp_path / f"run{nth}"
            with sidelog.SummaryWriter(run, endpoint=endpoint) as writer:
                train(writer, BEFORE)
            (tmp_path / "order").write_text(json.dumps({"kill_at": nth, "torn": torn}))
            (tmp_path / "order").rename(control)
            resumed = sidelog.SummaryWriter(run, endpoint=endpoint, purge_step=CHECKPOINT)
            wait_until(
                lambda process=process, resumed=resumed: not process.runs or resumed.statistics().pending == 0,
                what="the purge is written, or the daemon is killed",
            )
            if survived := process.runs:
                control.unlink()
            else:
                process = daemon("--bind", endpoint)
            train(resumed, AGAIN)
            resumed.close()
            assert purges(run) == [CHECKPOINT]
            assert_shown(run, {"loss": CLEAN})
            if survived:
                break
        killed_before = Path(f"{control}.done").read_text().split("\n")[:-1]
        assert len(killed_before) == nth - 1
        assert ("half of write" if torn else "write") in killed_before


class TestToldOf:
    """Steps that do not grow: by who writes the folder, as long as it is open."""

    TOLD = f"do not grow: {CHECKPOINT} follows {CRASH - 1};"

    def test_a_training_that_goes_back_while_its_run_is_open(
        self, runtime_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            train(writer, BEFORE)
            train(writer, AGAIN)
            writer.flush()
            wait_until(lambda: self.TOLD in caplog.text)
        assert "A training that resumes says SummaryWriter(purge_step=...)" in caplog.text

    def test_not_with_purge_step(self, runtime_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            train(writer, BEFORE)
            attempt(tmp_path / "run", AGAIN, purge_step=CHECKPOINT)
        assert "do not grow" not in caplog.text

    def test_not_of_what_an_earlier_process_logged(self, runtime_dir: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        for begin, end in ((0, CRASH), (CHECKPOINT, END)):
            status, out, err = finish(start_script(LOG, str(run), str(begin), str(end), ""))
            assert (status, "do not grow" in out + err) == (0, False)
        assert read_run(run).steps("loss") == [*range(CRASH), *range(CHECKPOINT, END)]

    def test_of_what_an_earlier_process_logged_while_somebody_has_the_run_open(
        self, runtime_dir: Path, tmp_path: Path
    ) -> None:
        run = tmp_path / "run"
        killed = LOG + "    writer.flush()\n    os.kill(os.getpid(), signal.SIGKILL)"
        with sidelog.SummaryWriter(run):
            status, _, err = finish(start_script(killed, str(run), "0", str(CRASH), ""))
            assert status == -signal.SIGKILL, err
            status, _, err = finish(start_script(LOG, str(run), str(CHECKPOINT), str(END), ""))
            assert (status, self.TOLD in err) == (0, True), err


def steps_of(run: Path) -> list[int]:
    return read_run(run).steps("loss")


def ranks(run: Path, world_size: int, begin: int, end: int, purge_step: int | None = None) -> None:
    """A job as torchrun starts it: each rank a process, told by variables which it is."""
    arguments = (LOG, str(run), str(begin), str(end), "" if purge_step is None else str(purge_step))
    job = [
        start_script(*arguments, env={"RANK": str(rank), "WORLD_SIZE": str(world_size), "LOCAL_RANK": str(rank)})
        for rank in range(world_size)
    ]
    for process in job:
        status, out, err = finish(process)
        assert status == 0, out + err


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.sidelog")}


class TestElastic:
    def test_fewer_ranks_and_more(self, runtime_dir: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        ranks(run, 3, 0, CRASH)
        gone = contents(run / "rank_2")
        ranks(run, 2, CHECKPOINT, END, purge_step=CHECKPOINT)
        assert steps_of(run) == steps_of(run / "rank_1") == list(range(END))
        assert contents(run / "rank_2") == gone
        assert steps_of(run / "rank_2") == list(range(CRASH))
        ranks(run, 4, 12, 20, purge_step=12)
        assert steps_of(run) == steps_of(run / "rank_1") == list(range(20))
        assert steps_of(run / "rank_2") == [*range(CRASH), *range(12, 20)]  # back, with a gap
        assert steps_of(run / "rank_3") == list(range(12, 20))  # new
        for folder in (run, run / "rank_1", run / "rank_2", run / "rank_3"):
            expected = {"loss": steps_of(folder)}
            assert fast_steps(folder, expected) == expected

    def test_a_job_of_one_goes_on_in_the_folder_of_rank_0(self, runtime_dir: Path, tmp_path: Path) -> None:
        ranks(tmp_path / "run", 2, 0, CRASH)
        ranks(tmp_path / "run", 1, CHECKPOINT, END, purge_step=CHECKPOINT)
        assert steps_of(tmp_path / "run") == list(range(END))
        assert steps_of(tmp_path / "run" / "rank_1") == list(range(CRASH))


class TestASpoolWasLeft:
    """The first training's last steps, 3 to 9, are in its spool; its checkpoint is of step 5."""

    WRITTEN, LEFT = BEFORE[:3], BEFORE[3:]

    @pytest.fixture
    def run(self, tmp_path: Path) -> Path:
        return tmp_path / "run"

    @pytest.fixture
    def endpoint(self, daemon: StartDaemon, runtime_dir: Path, run: Path) -> str:
        endpoint = f"ipc://{runtime_dir}/d.sock"
        first = daemon("--bind", endpoint)
        writer = sidelog.SummaryWriter(run, endpoint=endpoint)
        train(writer, self.WRITTEN)
        writer.flush()
        first.kill()
        self.leave(writer, self.LEFT)
        daemon("--bind", endpoint)
        return endpoint

    def leave(self, writer: sidelog.SummaryWriter, points: Points) -> None:
        """End a training whose daemon is away."""
        train(writer, points)
        with pytest.raises(TransportError):
            writer.close(timeout_s=0.5)

    def replay(self, endpoint: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "sidelog.cli", "replay", "--all", f"--endpoint={endpoint}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "records stand in the event files" in done.stdout

    def resume(self, endpoint: str, run: Path) -> None:
        with sidelog.SummaryWriter(run, endpoint=endpoint, purge_step=CHECKPOINT) as writer:
            train(writer, AGAIN)

    def test_replayed_first_it_is_one_curve(self, endpoint: str, run: Path) -> None:
        self.replay(endpoint)
        self.resume(endpoint, run)
        assert_shown(run, {"loss": CLEAN})

    def test_never_replayed_what_was_before_the_checkpoint_is_missing(self, endpoint: str, run: Path) -> None:
        self.resume(endpoint, run)
        assert_shown(run, {"loss": self.WRITTEN + AGAIN})

    def test_replayed_afterwards_it_stands_behind_what_was_logged_again(self, endpoint: str, run: Path) -> None:
        last = [(step, 0.25) for step in range(END, 20)]
        with sidelog.SummaryWriter(run, endpoint=endpoint, purge_step=CHECKPOINT) as writer:
            train(writer, AGAIN)
            writer.flush()
            self.replay(endpoint)
            train(writer, last)
        assert_shown(
            run, {"loss": self.WRITTEN + AGAIN + self.LEFT + last}, {"loss": self.WRITTEN + self.LEFT + last}
        )  # fmt: skip

    def test_stopped_and_resumed_once_more_after_the_replay_it_is_one_curve(self, endpoint: str, run: Path) -> None:
        self.resume(endpoint, run)
        self.replay(endpoint)
        self.resume(endpoint, run)
        assert_shown(run, {"loss": CLEAN})

    def test_the_resumed_training_says_that_it_is_there(self, endpoint: str, run: Path) -> None:
        script = "import sys, sidelog\nsidelog.SummaryWriter(sys.argv[1], endpoint=sys.argv[2], purge_step=5).close()"
        status, _, said = finish(start_script(script, str(run), endpoint))
        assert status == 0
        assert "1 earlier processes left records that are not known to be in the event files" in said
        assert "sidelog replay --all" in said

    def test_a_purge_that_is_in_a_spool_itself_happens_once(
        self, daemon: StartDaemon, runtime_dir: Path, run: Path
    ) -> None:
        endpoint = f"ipc://{runtime_dir}/d.sock"
        first = daemon("--bind", endpoint)
        with sidelog.SummaryWriter(run, endpoint=endpoint) as writer:
            train(writer, BEFORE)
        first.kill()
        self.leave(sidelog.SummaryWriter(run, endpoint=endpoint, purge_step=CHECKPOINT), AGAIN)
        daemon("--bind", endpoint)
        self.replay(endpoint)
        assert purges(run) == [CHECKPOINT]
        assert_shown(run, {"loss": CLEAN})
