"""``sidelog status`` with real daemons: what it finds, what it says, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import sidelog
from processes import DEADLINE_S, DaemonProcess, is_gone, local_daemon, wait_until
from sidelog.inquiry import ANSWER_S
from sidelog.spool import Spool
from sidelog_shared.locks import is_held_by_someone
from sidelog_shared.records import Worker

StartDaemon = Callable[..., DaemonProcess]
SMALL_DISK = ["sh", "-c", 'ulimit -f 128; exec "$@"', "sh"]
"""A shell by which a daemon cannot write more than 64 KiB into a file."""
STATUS = [sys.executable, "-m", "sidelog.cli", "status"]


def status(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*STATUS, *arguments], capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def status_json(*arguments: str) -> dict[str, object]:
    done = status("--json", *arguments)
    assert done.stderr == ""
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def report_of(endpoint: str) -> dict[str, object]:
    """What the daemon there says of itself."""
    (one,) = status_json("--endpoint", endpoint)["daemons"]  # type: ignore[misc]
    assert one["answers"], one
    return one["report"]  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def spool_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    monkeypatch.setenv("SIDELOG_SPOOL_DIR", str(folder))
    return folder


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_without_a_daemon_it_says_so_and_makes_nothing(runtime_dir: Path) -> None:
    done = status()
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == f"no daemon of yours runs on this machine (looked in {runtime_dir}/sidelog)\n"
    assert status_json() == {"sidelog_status": 1, "at": pytest.approx(time.time(), abs=60), "daemons": [], "spools": []}
    assert list(runtime_dir.iterdir()) == []


def test_the_daemon_that_trainings_of_this_shell_use_is_asked_too(
    daemon: StartDaemon, runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be on another machine, behind a tunnel, or not be there."""
    local = daemon("--logdir", str(tmp_path / "local"))
    monkeypatch.setenv("SIDELOG_ENDPOINT", "tcp://127.0.0.1:9")
    told = {one["endpoint"]: one["answers"] for one in status_json()["daemons"]}  # type: ignore[attr-defined]
    assert told == {local.endpoint: True, "tcp://127.0.0.1:9": False}
    monkeypatch.setenv("SIDELOG_ENDPOINT", local.endpoint)
    assert [one["endpoint"] for one in status_json()["daemons"]] == [local.endpoint]  # type: ignore[attr-defined]


def test_two_daemons_with_a_worker_each_are_found(daemon: StartDaemon, runtime_dir: Path, tmp_path: Path) -> None:
    local = daemon("--logdir", str(tmp_path / "local"))
    bound = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path / "bound"))
    here = sidelog.SummaryWriter(tmp_path / "here")
    there = sidelog.SummaryWriter("there", endpoint=bound.endpoint)
    with here, there:
        for step in range(50):
            here.add_scalar("loss", 1.0, step)
            there.add_scalar("loss", 1.0, step)
        there.add_image("picture", np.zeros((3, 8, 8), np.uint8), 0)
        here.flush()
        there.flush(pictures=True)

        def told() -> dict[str, object]:
            found = status_json()
            workers = [one["report"]["workers"] for one in found["daemons"] if one["answers"]]  # type: ignore[union-attr]
            written = [one["ends"]["written"] for each in workers for one in each if one["client"]]
            return found if written == [50, 51] else {}

        found = wait_until(told)
        text = status().stdout
    first, second = found["daemons"]  # type: ignore[misc]
    assert [first["local"], second["local"]] == [True, False]
    assert [first["endpoint"], second["endpoint"]] == [local.endpoint, bound.endpoint]
    assert first["ready"]["pid"] == first["report"]["pid"] == local.pid
    assert second["ready"]["pid"] == second["report"]["pid"] == bound.pid
    assert second["report"]["logdir"] == str(tmp_path / "bound")
    (run,) = second["report"]["runs"]
    assert (run["path"], run["written"], run["failing"]) == (str(tmp_path / "bound" / "there"), 51, False)
    (worker,) = second["report"]["workers"]
    assert (worker["pid"], worker["state"], worker["runs"]) == (os.getpid(), "live", [run["path"]])
    assert worker["label"] in run["workers"]
    for endpoint in (local.endpoint, bound.endpoint):
        assert f"daemon {endpoint}" in text
    assert status("--endpoint", bound.endpoint).returncode == 0
    assert len(status_json("--endpoint", bound.endpoint)["daemons"]) == 1  # type: ignore[arg-type]
    assert bound.stop() == 0
    assert [one["endpoint"] for one in status_json()["daemons"]] == [local.endpoint]  # type: ignore[union-attr]


def test_a_frozen_daemon_is_told_within_the_deadline(daemon: StartDaemon, runtime_dir: Path, tmp_path: Path) -> None:
    alive = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path / "alive"))
    ice = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path / "ice"))
    with frozen(ice.pid):
        done = status("--json")
        text = status().stdout
    answers = {one["endpoint"]: one for one in json.loads(done.stdout)["daemons"]}
    assert done.returncode == 1
    assert answers[alive.endpoint]["answers"] is True
    assert answers[ice.endpoint] == {
        "endpoint": ice.endpoint,
        "local": False,
        "answers": False,
        "why": f"does not answer within {ANSWER_S:g} s",
        "process": "stopped",
        "ready": answers[ice.endpoint]["ready"],
        "report": None,
    }
    assert f"does not answer within 2 s: pid {ice.pid}, its process is stopped (SIGCONT lets it go on)" in text
    assert status().returncode == 0


def test_a_killed_daemon_is_not_told_and_what_it_left_is_removed(
    daemon: StartDaemon, runtime_dir: Path, tmp_path: Path
) -> None:
    process = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
    (entry,) = (runtime_dir / "sidelog").glob("bound-*.ready")
    assert is_held_by_someone(entry)
    process.kill()
    assert entry.exists()
    assert status_json()["daemons"] == []
    assert not entry.exists()
    done = status("--endpoint", process.endpoint)
    assert done.returncode == 1
    assert done.stdout == f"daemon {process.endpoint}\n  does not answer within 2 s\n"


def test_a_daemon_that_cannot_be_registered_serves_all_the_same(
    daemon: StartDaemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with monkeypatch.context() as patched:
        patched.setenv("SIDELOG_RUNTIME_DIR", str(tmp_path / "file"))
        process = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
        assert f"sidelog status needs --endpoint {process.endpoint} to find this daemon" in process.log
        assert report_of(process.endpoint)["pid"] == process.pid


def test_a_failing_run_is_told_with_its_error_and_its_worker(
    daemon: StartDaemon, runtime_dir: Path, tmp_path: Path
) -> None:
    process = daemon(
        *("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path), "--drain-timeout", "0.1"),
        through=SMALL_DISK,
    )
    writer = sidelog.SummaryWriter("full", endpoint=process.endpoint)
    other = sidelog.SummaryWriter("good", endpoint=process.endpoint)
    for step in range(10_000):
        writer.add_scalar("loss", float(step), step)
    other.add_scalar("loss", 1.0, 1)

    def failing() -> dict[str, object] | None:
        runs = report_of(process.endpoint)["runs"]
        return runs[0] if runs and runs[0]["failing"] else None  # type: ignore[index]

    run = wait_until(failing)
    assert run["path"] == str(tmp_path / "full")
    assert "File too large" in str(run["error"])
    assert float(str(run["failing_s"])) >= 0
    text = status("--endpoint", process.endpoint).stdout
    assert re.search(rf"  FAILS for \d+ s: {tmp_path}/full \(worker \(\S+:{os.getpid()}\)\): .*File too large", text)
    assert re.search(r"    last error, \d+ s ago: .*cannot be written, kept and tried again every second", text)
    line = wait_until(lambda: next((one for one in process.log.splitlines() if " ERROR " in one), ""))
    assert f"worker ({os.uname().nodename}:{os.getpid()}): {tmp_path}/full cannot be written" in line
    process.kill()
    for one in (writer, other):
        with contextlib.suppress(sidelog.TransportError):  # what is not written is in the spool
            one.close(timeout_s=0.2)


def test_drops_are_told_by_tag(daemon: StartDaemon, runtime_dir: Path, tmp_path: Path) -> None:
    process = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path), "--budget-mb", "2")
    with sidelog.SummaryWriter("run", endpoint=process.endpoint) as writer:
        picture = np.random.default_rng(0).random((3, 200, 200), np.float32)

        def dropped() -> dict[str, int]:
            for step in range(20):
                writer.add_image("map", picture, step)
            (worker,) = report_of(process.endpoint)["workers"]  # type: ignore[misc]
            return worker["dropped_tags"]  # type: ignore[no-any-return]

        assert set(wait_until(dropped)) == {"map"}
        text = status().stdout
        assert re.search(r"dropped: [\d,]+ in the client, [\d,]+ in the daemon; of map [\d,]+\n", text)
        writer.flush(pictures=True)
    process.stop()
    assert re.search(r"worker \(\S+\) left: .*; dropped of [\d,]+ map; faulty messages: none", process.log)


def test_spool_files_are_told_with_what_writes_them(runtime_dir: Path, spool_dir: Path) -> None:
    spool_dir.mkdir()
    left = spool_dir / f"elsewhere-4711-{'a' * 16}.spool"
    spool = Spool([left], Worker("a" * 16, "elsewhere", 4711), budget_bytes=1 << 20, say=pytest.fail)
    assert spool.keep([[b"a record"]], 1) is not None
    spool.close()
    zeros = spool_dir / f"elsewhere-4712-{'b' * 16}.spool"
    zeros.write_bytes(bytes(100))
    os.utime(left, (1, 1))
    said = status().stdout
    assert f"to write it: sidelog replay {left}\n" in said
    assert "nothing in it can be replayed: it is damaged\n" in said
    assert f"sidelog replay {zeros}" not in said
    found = status_json()["spools"]
    for one in found:  # type: ignore[attr-defined]
        assert one.pop("age_s") >= 0
    assert found == [
        {"path": str(zeros), "bytes": 100, "in_use": False, "damaged": True, "command": None},
        {
            "path": str(left),
            "bytes": left.stat().st_size,
            "in_use": False,
            "damaged": False,
            "command": f"sidelog replay {left}",
        },
    ]


def test_json_has_the_fields_that_the_guide_lists(daemon: StartDaemon, runtime_dir: Path, tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    table = guide.split("## How things stand")[1].split("\n## ")[0]
    documented = set(re.findall(r"^\| `([a-z_.*]+)` \|", table, re.MULTILINE))
    process = daemon("--logdir", str(tmp_path))
    with sidelog.SummaryWriter(tmp_path / "run") as writer:
        writer.add_scalar("loss", 1.0, 1)
        writer.flush()

        def told() -> dict[str, object] | None:
            found = status_json()
            workers = found["daemons"][0]["report"]["workers"]  # type: ignore[index]
            return found if workers and workers[0]["client"] else None

        found = wait_until(told)
    assert process.stop() == 0
    one = found["daemons"][0]  # type: ignore[index]
    report = one["report"]
    fields = {*found, *(f"daemons.{name}" for name in one), *(f"report.{name}" for name in report)}
    fields |= {f"workers.{name}" for name in report["workers"][0]} | {f"runs.{name}" for name in report["runs"][0]}
    fields |= {f"client.{name}" for name in report["workers"][0]["client"]}
    assert (
        documented - {f"spools.{name}" for name in ("path", "bytes", "age_s", "in_use", "damaged", "command")} == fields
    )


class TestWatch:
    def test_on_a_terminal_redraws_until_ctrl_c(self, daemon: StartDaemon, runtime_dir: Path, tmp_path: Path) -> None:
        process = daemon("--logdir", str(tmp_path))
        main, replica = pty.openpty()
        try:
            watch = subprocess.Popen([*STATUS, "--watch", "0.2"], stdin=replica, stdout=replica, stderr=replica)
            os.close(replica)
            shown = b""

            def redrawn() -> bool:
                nonlocal shown
                if select.select([main], [], [], 0.1)[0]:
                    shown += os.read(main, 65536)
                return shown.count(b"\x1b[H\x1b[J") >= 3

            wait_until(redrawn)
            watch.send_signal(signal.SIGINT)

            def ended() -> bool:
                if select.select([main], [], [], 0.01)[0]:
                    nonlocal shown
                    with contextlib.suppress(OSError):  # the other side is closed
                        shown += os.read(main, 65536)
                return watch.poll() is not None

            wait_until(ended)
        finally:
            os.close(main)
        assert watch.returncode == 0
        assert b"Traceback" not in shown
        assert f"daemon {process.endpoint}  (local)".encode() in shown
        assert b"every 0.2 s, Ctrl-C ends it" in shown

    def test_into_a_pipe_has_no_escape_codes_and_ends_when_nobody_reads(
        self, daemon: StartDaemon, runtime_dir: Path, tmp_path: Path
    ) -> None:
        daemon("--logdir", str(tmp_path))
        watch = subprocess.Popen([*STATUS, "--watch", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert watch.stdout is not None
        assert watch.stderr is not None
        with watch.stdout, watch.stderr:
            seen = b"".join(watch.stdout.readline() for _ in range(12))
            watch.stdout.close()
            assert watch.wait(DEADLINE_S) == 0
            assert watch.stderr.read() == b""
        assert b"\x1b" not in seen
        assert seen.count(b"every 0.1 s") >= 2

    def test_as_json_is_an_object_a_line(self, runtime_dir: Path) -> None:
        watch = subprocess.Popen([*STATUS, "--watch", "0.1", "--json"], stdout=subprocess.PIPE)
        assert watch.stdout is not None
        with watch.stdout:
            lines = [json.loads(watch.stdout.readline()) for _ in range(3)]
            watch.send_signal(signal.SIGINT)
            assert watch.wait(DEADLINE_S) == 0
        assert [one["sidelog_status"] for one in lines] == [1, 1, 1]
        assert lines[0]["at"] < lines[2]["at"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--watch", "0"], "--watch is 0, expected at least 0.1 seconds"),
        (["--watch", "nan"], "--watch is nan, expected at least 0.1 seconds"),
        (["--endpoint", "5557"], "endpoint is '5557', expected tcp://HOST:PORT"),
    ],
)
def test_wrong_arguments_are_told(runtime_dir: Path, arguments: list[str], words: str) -> None:
    done = status(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pipe_that_closes_early_is_no_error(daemon: StartDaemon, runtime_dir: Path, tmp_path: Path) -> None:
    daemon("--logdir", str(tmp_path))
    for command in ("status", "status --json"):
        done = subprocess.run(
            f"{sys.executable} -m sidelog.cli {command} | head -c 1",
            shell=True,
            capture_output=True,
            timeout=DEADLINE_S,
            check=True,
        )
        assert done.stderr == b""


def test_a_local_daemon_on_its_way_down_answers(daemon: StartDaemon, runtime_dir: Path, tmp_path: Path) -> None:
    process = daemon("--logdir", str(tmp_path), "--drain-timeout", "600", through=SMALL_DISK)
    writer = sidelog.SummaryWriter(tmp_path / "run")
    for step in range(10_000):
        writer.add_scalar("loss", float(step), step)
    wait_until(lambda: report_of(process.endpoint)["run_count"])
    wait_until(lambda: report_of(process.endpoint)["runs"][0]["failing"])  # type: ignore[index]
    process.signal(signal.SIGTERM)
    wait_until(lambda: local_daemon() is None)
    (one,) = status_json()["daemons"]  # type: ignore[misc]
    assert (one["local"], one["answers"], one["report"]["state"], one["ready"]) == (True, True, "draining", None)
    process.signal(signal.SIGTERM)
    assert process.wait() == 7
    wait_until(lambda: is_gone(process.pid))
    with contextlib.suppress(sidelog.SidelogError):  # no daemon, or a run that cannot be written: it is in the spool
        writer.close(timeout_s=0.0)
