"""However a process ends, what of its records stands afterwards.

Ends of multiprocessing's children are in ``tests/integration/test_terminated.py`` and ``test_delivery.py``, ends
without a daemon in ``test_spool_and_replay.py``. ``docs/reliability.md`` has the table of all of them.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from event_files import read_run
from processes import DEADLINE_S, finish, start_script, wait_until

TRAIN = """
import os, sys, threading, time
import sidelog
folder = sys.argv[1]
writer = sidelog.SummaryWriter(folder)

def log(steps):
    for step in steps:
        writer.add_scalar("loss", step, step)
        writer.add_text("note", str(step), step)
"""
COUNT = 500
OLD_S = 3
"""What was logged so long ago is kept, however its process ends: at most the last two seconds are lost. The promise is
one of time, so the trainings here let so much pass."""
QUIET_S = 1.5
"""A daemon writes within a second."""


def end(code: str, folder: Path) -> tuple[int, str]:
    """Run a training to its end: exit code, and what it said on standard error."""
    status, _, said = finish(start_script(TRAIN + code, str(folder)))
    return status, said


def assert_all(folder: Path, count: int = COUNT) -> None:
    run = read_run(folder)
    assert run.scalars["loss"] == [(step, float(step)) for step in range(count)]
    assert run.texts["note"] == [(step, str(step)) for step in range(count)]


def assert_all_is_kept(folder: Path, count: int = COUNT) -> None:
    """Nothing ran at the end: what no daemon had written by then is in the spool, and stands when that is replayed."""
    wait_until_quiet(folder)
    replay_what_is_left()
    assert_all(folder, count)


def replay_what_is_left() -> None:
    replay = [sys.executable, "-m", "sidelog.cli", "replay", "--all"]
    done = subprocess.run(replay, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr


def assert_all_but_the_last_seconds(folder: Path, dead_at: float) -> None:
    """In order, without a hole, nothing twice; what is missing was logged in the last two seconds."""
    wait_until_quiet(folder)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    points = accumulator.Scalars("loss")
    assert [point.step for point in points] == list(range(len(points)))
    assert points[-1].wall_time > dead_at - 2


def wait_until_quiet(folder: Path) -> None:
    """Until the daemon has written what it has."""
    size, since = -1, time.monotonic()

    def is_quiet() -> bool:
        nonlocal size, since
        before, size = size, sum(path.stat().st_size for path in folder.glob("*.sidelog"))
        if size != before:
            since = time.monotonic()
        return time.monotonic() - since > QUIET_S

    wait_until(is_quiet, what="the daemon has written what it has")


class TestExits:
    """The interpreter's own end runs sidelog's exit handler: everything stands."""

    @pytest.mark.parametrize(
        ("how", "status"),
        [
            ("pass", 0),
            ("sys.exit(3)", 3),
            ("raise RuntimeError('diverged')", 1),
            ("raise KeyboardInterrupt", -signal.SIGINT),
            ("os.kill(os.getpid(), 2); time.sleep(30)", -signal.SIGINT),
        ],
        ids=["end of the program", "sys.exit", "uncaught exception", "KeyboardInterrupt", "Ctrl-C"],
    )
    def test_of_the_main_thread(self, how: str, status: int, runtime_dir: Path, tmp_path: Path) -> None:
        """Kept: everything. The exit code is the program's own."""
        assert end(f"log(range({COUNT}))\n{how}", tmp_path / "run")[0] == status
        assert_all(tmp_path / "run")

    @pytest.mark.parametrize("how", ["pass", "raise RuntimeError('diverged')"])
    def test_with_large_pictures_that_are_not_sent(self, how: str, runtime_dir: Path, tmp_path: Path) -> None:
        """Kept: all of them. pyzmq ends what it needs for large frames in an exit handler of its own."""
        code = f"""
import numpy as np
for step in range(40):
    writer.add_image("map", np.full((3, 300, 300), step, np.uint8), step)
    writer.add_audio("sound", np.full(100_000, step / 100, np.float32), step, sample_rate=8000)
{how}
"""
        said = end(code, tmp_path / "run")[1]
        assert "sender thread failed" not in said
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        accumulator = EventAccumulator(str(tmp_path / "run"), size_guidance={"images": 0, "audio": 0})
        accumulator.Reload()
        assert [one.step for one in accumulator.Images("map")] == list(range(40))
        assert [one.step for one in accumulator.Audio("sound")] == list(range(40))

    @pytest.mark.parametrize("how", ["sys.exit(3)", "raise RuntimeError('diverged')"])
    def test_of_another_thread_ends_that_thread_alone(self, how: str, runtime_dir: Path, tmp_path: Path) -> None:
        """Kept: everything, what other threads log afterwards too."""
        code = f"""
def train():
    log(range({COUNT // 2}))
    {how}
thread = threading.Thread(target=train)
thread.start()
thread.join()
log(range({COUNT // 2}, {COUNT}))
"""
        assert end(code, tmp_path / "run")[0] == 0
        assert_all(tmp_path / "run")

    def test_with_threads_that_log_until_they_are_joined(self, runtime_dir: Path, tmp_path: Path) -> None:
        """Kept: everything of threads that are no daemons; the interpreter waits for them before exit handlers run."""
        code = f"""
def train():
    time.sleep(0.5)
    log(range({COUNT}))
threading.Thread(target=train).start()
"""
        assert end(code, tmp_path / "run")[0] == 0
        assert_all(tmp_path / "run")

    def test_in_the_order_of_exit_handlers(self, runtime_dir: Path, tmp_path: Path) -> None:
        """Kept: what a handler logs that was registered after the import of sidelog, for it runs before sidelog's.

        One that was registered before runs after it: its records are not taken, counted, and that is said.
        """
        code = (
            """
import atexit, sys
def early():
    writer.add_scalar("late", 1, 1)
atexit.register(early)
"""
            + TRAIN
            + f"""
atexit.register(lambda: log(range({COUNT})))
"""
        )
        status, _, said = finish(start_script(code, str(tmp_path / "run")))
        assert status == 0
        assert_all(tmp_path / "run")
        assert "late" not in read_run(tmp_path / "run").scalars
        assert "what is called after sidelog's own exit handler is not written: close() earlier" in said

    def test_by_memory_that_runs_out(self, runtime_dir: Path, tmp_path: Path) -> None:
        """Kept: everything. A MemoryError is an exception like others, and what was copied is in memory already."""
        code = f"""
import resource
log(range({COUNT}))
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), resource.RLIM_INFINITY))
bytes(1 << 40)
"""
        status, said = end(code, tmp_path / "run")
        assert status == 1
        assert "MemoryError" in said
        assert_all(tmp_path / "run")


class TestKills:
    """Nothing of ours runs any more: what is older than two seconds stands."""

    LOG_ON = """
import itertools
for step in itertools.count():
    writer.add_scalar("loss", step, step, walltime=time.time())
    if step == 300:
        print("go on", flush=True)
    time.sleep(0.005)
"""

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
    def test_by_a_signal(self, number: signal.Signals, runtime_dir: Path, tmp_path: Path) -> None:
        """Kept: all but the last two seconds. SIGTERM and SIGHUP kill an ordinary process as they would without us."""
        process = start_script(TRAIN + self.LOG_ON, str(tmp_path / "run"))
        assert process.stdout is not None
        assert process.stdout.readline() == "go on\n"
        dead_at = time.time()
        process.send_signal(number)
        assert finish(process)[0] == -number
        assert_all_but_the_last_seconds(tmp_path / "run", dead_at)

    def test_by_a_signal_that_the_program_handles(self, runtime_dir: Path, tmp_path: Path) -> None:
        """Kept: everything that was logged before the handler's sys.exit."""
        code = (
            """
import signal
import socket
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
"""
            + self.LOG_ON
        )
        process = start_script(TRAIN + code, str(tmp_path / "run"))
        assert process.stdout is not None
        assert process.stdout.readline() == "go on\n"
        sent_at = time.time()
        process.send_signal(signal.SIGTERM)
        assert finish(process)[0] == 5
        run = read_run(tmp_path / "run")
        assert run.steps("loss") == list(range(len(run.steps("loss"))))
        assert len(run.steps("loss")) > 300
        assert_all_but_the_last_seconds(tmp_path / "run", sent_at)

    @pytest.mark.parametrize(
        ("how", "status"),
        [
            ("os._exit(4)", 4),
            ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
            ("os.abort()", -signal.SIGABRT),
        ],
        ids=["os._exit", "segmentation fault", "abort"],
    )
    def test_by_the_process_itself(self, how: str, status: int, runtime_dir: Path, tmp_path: Path) -> None:
        """Kept: all but the last two seconds; here everything was logged three seconds before."""
        assert end(f"log(range({COUNT}))\ntime.sleep({OLD_S})\n{how}", tmp_path / "run")[0] == status
        assert_all_is_kept(tmp_path / "run")

    @pytest.mark.parametrize("how", ["os._exit(4)", "import ctypes; ctypes.string_at(0)"])
    def test_by_the_process_itself_without_a_pause(self, how: str, runtime_dir: Path, tmp_path: Path) -> None:
        """Kept: a beginning, in order, without a hole."""
        end(f"log(range({COUNT}))\nwriter.flush()\nlog(range({COUNT}, 2 * {COUNT}))\n{how}", tmp_path / "run")
        wait_until_quiet(tmp_path / "run")
        steps = read_run(tmp_path / "run").steps("loss")
        assert steps == list(range(len(steps)))
        assert len(steps) >= COUNT

    def test_by_the_kernel_for_memory(self, runtime_dir: Path, tmp_path: Path) -> None:
        """Kept: all but the last two seconds.

        The kernel's killer sends SIGKILL. Where a group of processes can be given a limit of memory it is met for real,
        elsewhere the signal is sent as the kernel would.
        """
        group = _memory_group(tmp_path)
        process = start_script(
            TRAIN
            + f"""
log(range({COUNT}))
print("logged", flush=True)
sys.stdin.readline()
hoard = [os.urandom(1 << 20) * 16 for _ in range(128)]  # 2 GiB
""",
            str(tmp_path / "run"),
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "logged\n"
        time.sleep(OLD_S)
        try:
            if group is None:
                process.kill()
            else:
                (group / "cgroup.procs").write_text(str(process.pid))
                assert process.stdin is not None
                process.stdin.write("eat\n")
                process.stdin.flush()
            assert finish(process, 4 * DEADLINE_S)[0] == -signal.SIGKILL
        finally:
            if group is not None:
                wait_until(lambda: not (group / "cgroup.procs").read_text())
                group.rmdir()
        assert_all_is_kept(tmp_path / "run")


def _memory_group(folder: Path) -> Path | None:
    """A control group with 512 MiB of memory, where this user may make one."""
    for root in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")):
        group = root / f"sidelog-{folder.name}"
        try:
            group.mkdir()
        except OSError:
            continue
        for limit in (group / "memory.max", group / "memory.limit_in_bytes"):
            if limit.exists():
                limit.write_text(str(512 << 20))
                return group
        group.rmdir()  # not a place where memory can be limited
    return None


class TestForks:
    def test_a_fork_that_leaves_by_os_exit_takes_nothing_from_its_parent(
        self, runtime_dir: Path, tmp_path: Path
    ) -> None:
        """Kept: everything of the parent's, logged before the fork and after; of the child's what it flushed."""
        code = f"""
log(range({COUNT // 2}))
pid = os.fork()
if pid == 0:
    child = sidelog.SummaryWriter(folder + "/child")
    child.add_scalar("loss", 1, 1)
    child.flush()
    os._exit(0)
os.waitpid(pid, 0)
log(range({COUNT // 2}, {COUNT}))
"""
        assert end(code, tmp_path / "run")[0] == 0
        assert_all(tmp_path / "run")
        assert read_run(tmp_path / "run" / "child").steps("loss") == [1]

    def test_a_parent_that_is_killed_takes_nothing_from_its_forks(self, runtime_dir: Path, tmp_path: Path) -> None:
        """Kept: everything of a child's that goes on and ends as it should."""
        code = f"""
log(range(10))
if os.fork() == 0:
    while os.getppid() == int(os.environ["PARENT"]):
        time.sleep(0.01)
    child = sidelog.SummaryWriter(folder + "/child")
    for step in range({COUNT}):
        child.add_scalar("loss", step, step)
    child.close()
    os._exit(0)
time.sleep(60)
"""
        process = start_script(
            'import os\nos.environ["PARENT"] = str(os.getpid())\n' + TRAIN + code, str(tmp_path / "run")
        )
        wait_until(lambda: list((tmp_path / "run").glob("*.sidelog")))
        process.kill()
        finish(process)
        wait_until((tmp_path / "run" / "child").exists)
        wait_until(lambda: len(read_run(tmp_path / "run" / "child").steps("loss")) == COUNT)
        assert read_run(tmp_path / "run" / "child").steps("loss") == list(range(COUNT))

    @pytest.mark.parametrize("persistent", [False, True])
    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_data_loader_workers(self, method: str, persistent: bool, runtime_dir: Path, tmp_path: Path) -> None:
        """Kept: everything that workers logged, over two epochs, where they end with the epoch.

        Persistent ones end with the program, by SIGTERM, which torch's own handler turns into an end at once: of them
        all but the last two seconds is kept; here everything was logged three seconds before.
        """
        script = tmp_path / "script.py"
        script.write_text(f"""
import sys, time
import sidelog, torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

class Samples(Dataset):
    writer = None

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if self.writer is None:
            self.writer = sidelog.SummaryWriter(f"{{sys.argv[1]}}/worker{{get_worker_info().id}}")
        self.writer.add_scalar(f"sample{{index}}", index)
        return torch.tensor(float(index))

if __name__ == "__main__":
    loader = DataLoader(Samples(), num_workers=2, persistent_workers={persistent}, multiprocessing_context={method!r})
    for epoch in range(2):
        assert sum(float(batch) for batch in loader) == 28
    if {persistent}:
        time.sleep({OLD_S})
""")
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path / "run")],
            capture_output=True,
            text=True,
            timeout=4 * DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if persistent:
            for number in range(2):
                wait_until_quiet(tmp_path / "run" / f"worker{number}")
            replay_what_is_left()
        found = [read_run(tmp_path / "run" / f"worker{number}").scalars for number in range(2)]
        logged = {tag: len(points) for run in found for tag, points in run.items()}
        assert logged == {f"sample{index}": 2 for index in range(8)}


class TestSeveralConnections:
    CODE = """
import os, sys, time
import sidelog
writers = [sidelog.SummaryWriter("run", endpoint=endpoint) for endpoint in sys.argv[1:]]
for step in range(50):
    for writer in writers:
        writer.add_scalar("loss", step, step)
print("logged", flush=True)
"""

    def test_end_in_the_time_of_one(self, closed_endpoints: list[str], tmp_path: Path) -> None:
        """Kept: everything, in a spool each."""
        begun = time.monotonic()
        status, _, said = finish(start_script(self.CODE, *closed_endpoints, env={"SIDELOG_EXIT_TIMEOUT": "3"}))
        assert status == 0
        assert said.count("50 of 50 records are not known to be in the event files") == 4
        assert len(list((tmp_path / "spool").glob("*.spool"))) == 4
        assert time.monotonic() - begun < 11  # one after the other they take 12 s at least

    def test_end_at_once_at_ctrl_c(self, closed_endpoints: list[str], tmp_path: Path) -> None:
        """Kept: everything, in a spool each."""
        process = start_script(self.CODE, *closed_endpoints, env={"SIDELOG_EXIT_TIMEOUT": "60"})
        assert process.stdout is not None
        assert process.stdout.readline() == "logged\n"
        assert process.stderr is not None
        # It waits in its exit handler once it says so.
        assert any("waiting for a daemon" in line for line in iter(process.stderr.readline, ""))
        process.send_signal(signal.SIGINT)
        _, _, said = finish(process)
        assert said.count("50 of 50 records are not known to be in the event files") == 4
        assert "Traceback" not in said
        assert len(list((tmp_path / "spool").glob("*.spool"))) == 4


@pytest.fixture
def closed_endpoints() -> list[str]:
    """Where nobody listens."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    endpoints = [f"tcp://127.0.0.1:{probe.getsockname()[1]}" for probe in probes]
    for probe in probes:
        probe.close()
    return endpoints
