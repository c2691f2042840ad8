"""Records on their way through real processes and sockets, read back with TensorBoard's own reader."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

import sidelog
from event_files import read_run
from processes import DEADLINE_S, DaemonProcess, finish, local_daemon, run_script, start_script, wait_until
from sidelog import sender
from sidelog.connection import Connection
from sidelog.statistics import Statistics
from sidelog_shared.errors import TransportError, WriterError

StartDaemon = Callable[..., DaemonProcess]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


class TestOneProcess:
    def test_two_writers_share_one_connection_and_are_one_worker(self, runtime_dir: Path, tmp_path: Path) -> None:
        train = sidelog.SummaryWriter(tmp_path / "train")
        val = sidelog.SummaryWriter(tmp_path / "val")
        senders = [thread for thread in threading.enumerate() if thread.name == "sidelog-sender"]
        assert len(senders) == 1
        for step in range(20):
            train.add_scalar("loss", step / 2, step)
            val.add_scalar("loss", step / 4, step)
        train.flush()
        train.close()
        val.add_scalar("loss", 9.0, 99)  # the other goes on
        val.close()
        assert read_run(tmp_path / "train").scalars == {"loss": [(step, step / 2) for step in range(20)]}
        assert read_run(tmp_path / "val").scalars["loss"][-1] == (99, 9.0)
        log = (runtime_dir / "sidelog" / "daemon-1.log").read_text()
        assert log.count(" connected (") == 1

    def test_a_connection_begins_when_the_daemon_is_there_not_at_the_senders_next_look(
        self, monkeypatch: pytest.MonkeyPatch, runtime_dir: Path, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(sender, "TICK_S", 60.0)
        writer = sidelog.SummaryWriter(tmp_path / "run")
        writer.add_scalar("loss", 0.5, 1)
        writer.flush(timeout_s=DEADLINE_S)
        writer.close()
        assert read_run(tmp_path / "run").scalars == {"loss": [(1, 0.5)]}

    def test_everything_comes_back_as_it_was_logged(self, runtime_dir: Path, tmp_path: Path) -> None:
        image = noise(3, 5, 7)
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            writer.add_scalar("loss", 0.5, 3)
            writer.add_scalars("curves", {"a": 1.0, "b": 2.0}, 4)
            writer.add_text("note", "größer **als**", 5)
            writer.add_image("picture", image, 6)
            writer.add_histogram("weights", np.arange(10.0), 7)
        run = read_run(tmp_path / "run")
        assert run.scalars == {"loss": [(3, 0.5)]}
        assert run.texts == {"note": [(5, "größer **als**")]}
        assert run.histograms == {"weights": [(7, 10.0)]}
        np.testing.assert_array_equal(run.pixels("picture"), image.transpose(1, 2, 0))
        assert read_run(tmp_path / "run" / "curves" / "a").scalars == {"curves": [(4, 1.0)]}
        assert read_run(tmp_path / "run" / "curves" / "b").scalars == {"curves": [(4, 2.0)]}

    def test_pictures_of_a_tag_stand_in_the_order_of_the_calls(self, runtime_dir: Path, tmp_path: Path) -> None:
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            for step in range(60):
                writer.add_image("a", noise(1, 4, 4, seed=step), step)
                writer.add_image("b", noise(3, 40, 40, seed=step), 100 - step)
        run = read_run(tmp_path / "run")
        assert run.steps("a") == list(range(60))
        assert run.steps("b") == [100 - step for step in range(60)]

    def test_a_large_picture_does_not_delay_a_scalar(self, daemon: StartDaemon, tmp_path: Path) -> None:
        process = daemon("--bind", f"ipc://{tmp_path}/d.sock")
        writer = sidelog.SummaryWriter(tmp_path / "run", endpoint=process.endpoint)
        large = np.broadcast_to(np.arange(2600, dtype=np.uint8), (3, 2600, 2600))  # 20 MB, in 20 parts
        writer.add_scalar("before", 1.0, 0)
        writer.flush()
        process.signal(signal.SIGSTOP)  # nothing is taken: what is logged now waits in the client
        writer.add_image("large", large, 0)
        writer.add_scalar("loss", 0.5, 0)
        process.signal(signal.SIGCONT)
        writer.flush()
        assert read_run(tmp_path / "run").scalars["loss"] == [(0, 0.5)]
        writer.close()
        np.testing.assert_array_equal(read_run(tmp_path / "run").pixels("large"), large.transpose(1, 2, 0))

    def test_a_text_in_parts_keeps_its_place_among_scalars(self, runtime_dir: Path, tmp_path: Path) -> None:
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            for step in range(6):
                writer.add_scalar("loss", float(step), step)
                writer.add_text("long", str(step) * (3 << 20), step)
                writer.add_image("map", noise(1, 4, 4), step)
        run = read_run(tmp_path / "run")
        assert run.steps("loss") == run.steps("map") == list(range(6))
        assert run.texts["long"] == [(step, str(step) * (3 << 20)) for step in range(6)]
        assert writer.statistics().rejected == 0

    def test_flush_waits_for_scalars_and_with_pictures_for_everything(self, runtime_dir: Path, tmp_path: Path) -> None:
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            for step in range(10):
                writer.add_scalar("loss", float(step), step)
                writer.add_image("map", noise(1, 300, 300), step)
                writer.add_text("note", str(step), step)
                writer.flush()
                run = read_run(tmp_path / "run")
                assert run.steps("loss")[-1] == run.steps("note")[-1] == step
            writer.flush(pictures=True)
            assert read_run(tmp_path / "run").steps("map") == list(range(10))

    def test_a_writer_that_was_closed_opens_again(self, runtime_dir: Path, tmp_path: Path) -> None:
        writer = sidelog.SummaryWriter(tmp_path / "run")
        for step in range(3):
            writer.add_scalar("loss", float(step), step)
            writer.close()
        assert read_run(tmp_path / "run").steps("loss") == [0, 1, 2]

    def test_two_spellings_of_one_folder_are_one_run(self, runtime_dir: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path)
        with sidelog.SummaryWriter(tmp_path / "run") as one, sidelog.SummaryWriter(tmp_path / "link" / "run") as two:
            for step in range(300):
                one.add_scalar("a", step, step)
                two.add_scalar("b", step, step)
        run = read_run(tmp_path / "run")
        assert run.steps("a") == run.steps("b") == list(range(300))

    def test_a_run_folder_that_was_removed_is_made_again_and_holds_up_nobody(
        self, runtime_dir: Path, tmp_path: Path
    ) -> None:
        script = dedent("""
            import shutil, sys, sidelog
            first, second = sys.argv[1:]
            a = sidelog.SummaryWriter(first)
            a.add_scalar("loss", 1.0, 1)
            a.add_scalars("curves", {"x": 1.0}, 1)
            a.flush()
            shutil.rmtree(first)
            a.add_scalar("loss", 2.0, 2)
            b = sidelog.SummaryWriter(second)
            b.add_scalar("loss", 3.0, 3)
            b.flush(timeout_s=10)
            a.add_scalars("curves", {"x": 4.0}, 4)
            b.close()
            a.close()
        """)
        process = start_script(script, str(tmp_path / "a"), str(tmp_path / "b"), env={"SIDELOG_EXIT_TIMEOUT": "10"})
        code, _, errors = finish(process)
        assert code == 0, errors  # nothing was waited for in vain: that raises
        assert read_run(tmp_path / "a").scalars == {"loss": [(2, 2.0)]}
        assert read_run(tmp_path / "a" / "curves" / "x").scalars == {"curves": [(4, 4.0)]}
        assert read_run(tmp_path / "b").scalars == {"loss": [(3, 3.0)]}
        assert errors.count("removed or moved") == 1
        assert f"sidelog: {tmp_path / 'a'} or its event file was removed or moved" in errors

    def test_pixels_are_undone_with_one_mean_for_all_channels(self, runtime_dir: Path, tmp_path: Path) -> None:
        picture = noise(3, 6, 7)
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            writer.add_image("picture", (picture / 255 - 0.5) / 0.5, 1, mean=0.5, std=[0.5])
        np.testing.assert_array_equal(read_run(tmp_path / "run").pixels("picture"), picture.transpose(1, 2, 0))

    def test_a_current_folder_that_is_gone_is_no_hindrance(self, runtime_dir: Path, tmp_path: Path) -> None:
        script = dedent(
            f"""
            import json, os, signal, sidelog
            os.makedirs({str(tmp_path / "scratch")!r})
            os.chdir({str(tmp_path / "scratch")!r})
            os.rmdir({str(tmp_path / "scratch")!r})
            with sidelog.SummaryWriter({str(tmp_path / "run")!r}) as writer:
                writer.add_scalar("loss", 1.0, 1)
                writer.flush()
                with open({str(runtime_dir / "sidelog" / "daemon-1.ready")!r}) as file:
                    os.kill(json.load(file)["pid"], signal.SIGTERM)
                writer.add_scalar("loss", 2.0, 2)
            """
        )
        run_script(script)
        assert read_run(tmp_path / "run").steps("loss") == [1, 2]

    def test_descriptors_that_run_out_for_a_while_are_waited_for(
        self, daemon: StartDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failed = threading.Event()
        find = Connection._find_endpoint

        def none_left(connection: Connection, gives_up: Callable[[], bool]) -> str:
            if not failed.is_set():
                failed.set()
                raise OSError(24, "Too many open files")
            return find(connection, gives_up)

        monkeypatch.setattr(Connection, "_find_endpoint", none_left)
        process = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
        with sidelog.SummaryWriter("run", endpoint=process.endpoint) as writer:
            writer.add_scalar("loss", 1.0, 1)
        assert failed.is_set()
        assert read_run(tmp_path / "run").steps("loss") == [1]

    def test_after_the_exit_handler_close_has_nothing_to_say_unless_something_came_later(
        self, runtime_dir: Path, tmp_path: Path
    ) -> None:
        script = dedent(
            f"""
            import atexit
            def at_the_very_end():
                writer.close()  # all is written already
                print("closed")
                other.add_scalar("late", 1.0, 1)
                other.add_image("late", [[0.0]], 1, dataformats="HW")
                try:
                    other.close()
                except sidelog.TransportError as error:
                    print(error)
            atexit.register(at_the_very_end)
            import sidelog
            writer = sidelog.SummaryWriter({str(tmp_path / "run")!r})
            other = sidelog.SummaryWriter({str(tmp_path / "other")!r})
            writer.add_scalar("loss", 1.0, 1)
            """
        )
        status, out, err = finish(start_script(script))
        assert status == 0, err
        assert out.splitlines() == [
            "closed", "2 calls came after sidelog's own exit handler and are not written"
        ]  # fmt: skip
        assert err.count("is not written: close() earlier") == 1
        assert read_run(tmp_path / "run").steps("loss") == [1]

    def test_interpreter_exit_waits_for_what_was_logged(self, runtime_dir: Path, tmp_path: Path) -> None:
        code = """
import sys, sidelog, numpy as np
writer = sidelog.SummaryWriter(sys.argv[1])
for step in range(100):
    writer.add_scalar("loss", step, step)
writer.add_image("map", np.zeros((1, 50, 50)), 7)
"""
        run_script(code, str(tmp_path / "run"))
        run = read_run(tmp_path / "run")
        assert run.steps("loss") == list(range(100))
        assert run.steps("map") == [7]


class TestWhichDaemon:
    def test_an_endpoint_in_the_environment_is_used(
        self, daemon: StartDaemon, runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        process = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path / "logs"))
        monkeypatch.setenv("SIDELOG_ENDPOINT", process.endpoint)
        with sidelog.SummaryWriter("exp1") as writer:
            writer.add_scalar("loss", 1.0, 1)
        assert read_run(tmp_path / "logs" / "exp1").steps("loss") == [1]
        assert local_daemon() is None

    def test_an_argument_wins_over_the_environment(
        self, daemon: StartDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SIDELOG_ENDPOINT", "tcp://127.0.0.1:1")
        process = daemon("--bind", f"ipc://{tmp_path}/d.sock")
        with sidelog.SummaryWriter(tmp_path / "exp1", endpoint=process.endpoint) as writer:
            writer.add_scalar("loss", 1.0, 1)
        assert read_run(tmp_path / "exp1").steps("loss") == [1]

    def test_the_local_daemon_started_by_hand_is_found(
        self, daemon: StartDaemon, runtime_dir: Path, tmp_path: Path
    ) -> None:
        process = daemon("--logdir", str(tmp_path))
        with sidelog.SummaryWriter(tmp_path / "exp1") as writer:
            writer.add_scalar("loss", 1.0, 1)
        ready = local_daemon()
        assert ready is not None
        assert ready.pid == process.pid
        assert read_run(tmp_path / "exp1").steps("loss") == [1]

    def test_switched_off_there_is_no_thread_no_daemon_and_no_folder(
        self, runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SIDELOG_MODE", "off")
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            writer.add_scalar("loss", 1.0, 1)
            writer.add_image("map", noise(3, 4, 4), 1)
            writer.add_text("note", "x", 1)
            writer.flush(pictures=True)
            assert writer.statistics().logged == 0
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("sidelog-")]
        assert not (tmp_path / "run").exists()
        assert list(runtime_dir.iterdir()) == []


TRAINER = """
import sys, sidelog, numpy as np
name, steps = sys.argv[1], int(sys.argv[2])
print("up", flush=True)
sys.stdin.readline()
with sidelog.SummaryWriter(name) as writer:
    for step in range(steps):
        writer.add_scalar("loss", step, step)
        if step % 50 == 0:
            writer.add_text("note", str(step), step)
            writer.add_feature_map("map", np.full((4, 8, 8), float(step)), step)
stats = writer.statistics()
"""


def test_eight_processes_at_once_lose_nothing_and_get_one_daemon(runtime_dir: Path, tmp_path: Path) -> None:
    trainers = [start_script(TRAINER, str(tmp_path / f"run{i}"), "1000") for i in range(8)]
    for trainer in trainers:
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == "up\n"
    for trainer in trainers:  # all of them stand at the same line
        assert trainer.stdin is not None
        trainer.stdin.write("\n")
        trainer.stdin.flush()
    for trainer in trainers:
        status, out, err = finish(trainer, 60)
        # On a machine that is busy otherwise, a close() may take its second, and then says what it is at.
        complaints = [line for line in err.splitlines() if "writing the last" not in line]
        assert (status, complaints) == (0, []), out + err
    for i in range(8):
        run = read_run(tmp_path / f"run{i}")
        assert run.scalars["loss"] == [(step, step) for step in range(1000)]
        assert run.steps("note") == run.steps("map") == list(range(0, 1000, 50))
    log = (runtime_dir / "sidelog" / "daemon-1.log").read_text()
    assert log.count(" ready: endpoint ") == 1
    assert log.count(" connected (") == 8


class TestDaemonGoesAway:
    """The daemon is stopped by SIGTERM in mid-training; each reliable record is written exactly once."""

    def train(self, writer: sidelog.SummaryWriter, rounds: int, between: Callable[[int], None]) -> int:
        """Log in rounds; ``between`` happens in the middle of each."""
        step = 0
        for round_ in range(rounds):
            for index in range(400):
                if index == 200:
                    between(round_)
                writer.add_scalar("loss", float(step), step)
                if step % 40 == 0:
                    writer.add_text("note", f"step {step}", step)
                    writer.add_image("map", noise(1, 60, 60, seed=step), step)
                step += 1
        return step

    def check(self, writer: sidelog.SummaryWriter, run_directory: Path, steps: int) -> None:
        run = read_run(run_directory)
        assert run.scalars["loss"] == [(step, float(step)) for step in range(steps)]
        assert run.texts["note"] == [(step, f"step {step}") for step in range(0, steps, 40)]
        logged = list(range(0, steps, 40))
        shown = run.steps("map")
        assert shown == sorted(set(shown) & set(logged))
        stats = writer.statistics()
        assert stats.pending == stats.rejected == 0
        assert len(shown) + stats.dropped + stats.lost == len(logged)
        assert stats.logged == steps + 2 * len(logged)
        assert stats.written == steps + len(logged) + len(shown)

    def test_and_the_sender_starts_it_again(self, runtime_dir: Path, tmp_path: Path) -> None:
        writer = sidelog.SummaryWriter(tmp_path / "run")
        pids = []

        def kill(_: int) -> None:
            ready = wait_until(local_daemon)
            pids.append(ready.pid)
            os.kill(ready.pid, signal.SIGTERM)
            # The rest of the round is logged while it goes down; the next waits for its successor.
            wait_until(lambda: (now := local_daemon()) is not None and now.pid != ready.pid)

        steps = self.train(writer, 3, kill)
        writer.flush(pictures=True, timeout_s=DEADLINE_S)
        self.check(writer, tmp_path / "run", steps)
        writer.close()
        assert len(set(pids)) == 3
        assert read_run(tmp_path / "run").steps("loss") == list(range(steps))

    def test_and_is_started_again_by_hand_over_tcp(self, daemon: StartDaemon, tmp_path: Path) -> None:
        logs = tmp_path / "logs"
        processes = [daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(logs))]
        endpoint = processes[0].endpoint
        writer = sidelog.SummaryWriter("exp1", endpoint=endpoint)

        def restart(round_: int) -> None:
            if round_ == 0:
                writer.flush()  # it has certainly written something
            assert processes[-1].stop() == 0
            processes.append(daemon("--bind", endpoint, "--logdir", str(logs)))

        steps = self.train(writer, 3, restart)
        writer.flush(pictures=True, timeout_s=DEADLINE_S)
        self.check(writer, logs / "exp1", steps)
        writer.close()
        assert processes[-1].stop() == 0

    def test_while_nothing_is_logged_and_comes_back(self, daemon: StartDaemon, tmp_path: Path) -> None:
        first = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
        with sidelog.SummaryWriter("run", endpoint=first.endpoint) as writer:
            writer.add_scalar("loss", 0.0, 0)
            writer.flush()
            assert first.stop() == 0
            for step in range(1, 10):
                writer.add_scalar("loss", float(step), step)
            second = daemon("--bind", first.endpoint, "--logdir", str(tmp_path))
        assert second.stop() == 0
        assert read_run(tmp_path / "run").steps("loss") == list(range(10))

    def test_and_comes_only_after_a_writer_has_closed_in_vain(self, daemon: StartDaemon, runtime_dir: Path) -> None:
        endpoint = f"ipc://{runtime_dir}/late.sock"
        train = sidelog.SummaryWriter(runtime_dir / "train", endpoint=endpoint)
        val = sidelog.SummaryWriter(runtime_dir / "val", endpoint=endpoint)
        train.add_scalar("loss", 0.5, 1)
        train.add_image("picture", noise(3, 5, 7), 1)
        with pytest.raises(TransportError, match="2 records are not written"):
            train.close(timeout_s=0.2)
        late = daemon("--bind", endpoint, "--logdir", str(runtime_dir))
        val.add_scalar("loss", 0.25, 1)
        val.close()
        assert val.statistics() == Statistics(written=3)
        assert late.stop() == 0
        run = read_run(runtime_dir / "train")
        assert run.scalars == {"loss": [(1, 0.5)]}
        assert run.steps("picture") == [1]

    def test_and_one_run_that_is_refused_takes_nothing_from_the_others(
        self, daemon: StartDaemon, tmp_path: Path
    ) -> None:
        first = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "chart").write_text("in the way of the sub-run")
        writer = sidelog.SummaryWriter("run", endpoint=first.endpoint)
        writer.add_scalars("chart", {"a": 1.0}, 0)
        with pytest.raises(WriterError, match="chart"):
            writer.flush()
        assert first.stop() == 0
        for step in range(1000):
            writer.add_scalar("loss", float(step), step)
        started: list[DaemonProcess] = []

        def start_again() -> None:
            started.append(daemon("--bind", first.endpoint, "--logdir", str(tmp_path)))

        late = threading.Timer(2.0, start_again)
        late.start()
        with pytest.raises(WriterError, match="chart"):
            writer.close()
        late.join()
        assert started[0].stop() == 0
        assert read_run(tmp_path / "run").steps("loss") == list(range(1000))

    def test_in_the_middle_of_a_large_picture_without_waiting_for_the_rest(
        self, daemon: StartDaemon, tmp_path: Path
    ) -> None:
        first = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
        writer = sidelog.SummaryWriter("run", endpoint=first.endpoint)
        writer.add_scalar("loss", 0.0, 0)
        writer.flush()
        for step in range(3):
            writer.add_image("large", noise(3, 1500, 1500, seed=step), step)
        assert first.stop(15) == 0
        second = daemon("--bind", first.endpoint, "--logdir", str(tmp_path))
        writer.flush(pictures=True)
        stats = writer.statistics()
        writer.close()
        assert len(read_run(tmp_path / "run").images.get("large", [])) + stats.lost + stats.dropped == 3
        assert second.stop() == 0


def _log_in_child(folder: str, steps: int) -> None:
    with sidelog.SummaryWriter(folder, rank=None) as writer:
        for step in range(steps):
            writer.add_scalar("loss", float(step), step)


@pytest.mark.parametrize("method", ["fork", "spawn"])
# Python 3.12 warns of a fork beside threads: ours is one, and this test is that it does no harm.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_children_of_multiprocessing_are_workers_of_their_own(method: str, runtime_dir: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context(method)
    with sidelog.SummaryWriter(tmp_path / "parent") as writer:
        writer.add_scalar("loss", 0.0, 0)
        children = [context.Process(target=_log_in_child, args=(str(tmp_path / f"child{i}"), 200)) for i in range(2)]
        for child in children:
            child.start()
        for step in range(1, 200):
            writer.add_scalar("loss", float(step), step)
        for child in children:
            child.join(DEADLINE_S)
            assert child.exitcode == 0
            child.close()
    for name in ("parent", "child0", "child1"):
        assert read_run(tmp_path / name).steps("loss") == list(range(200))


def test_one_line_says_how_it_went(runtime_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sidelog")
    writers = [sidelog.SummaryWriter(tmp_path / name) for name in "abcde"]
    for step in range(10):
        writers[0].add_scalar("loss", 1.0, step)
    for writer in writers:
        writer.close()
    (line,) = [record for record in caplog.records if "records written" in record.getMessage()]
    runs = ", ".join(str(tmp_path / name) for name in "abc")
    assert line.levelno == logging.INFO
    assert re.fullmatch(
        rf"sidelog: {runs} and 2 other runs: 10 records written, 0 dropped, 0 spooled, 0 lost, in \d+\.\d s",
        line.getMessage(),
    )
