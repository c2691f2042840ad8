"""The torture's own equipment: what is planted must be found. A check that cannot fail proves nothing."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

import sidelog
from processes import DaemonProcess, wait_until
from sidelog.statistics import NOT_KNOWN
from sidelog_shared import recording
from torture.check import Check, Verdict
from torture.content import LANES, SIDE, Kept, Place, log, values
from torture.faults import FAULTS
from torture.ledger import CLOSED, KILLED, OS_EXIT, Account, Attempt, Ledger, read_ledger
from torture.plan import plan
from torture.proxy import Proxy
from torture.spools import damage
from torture.strict_reader import Value, end_of_last_marker, framed, read_logdir, records

RUN, WORKER = "run", "w1"
ENDED_AT = 1000.0


# The strict reader


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An event file with ten scalars, each committed by itself or with others, by a real run directory."""
    from sidelog_daemon.sink import RunDirectory
    from sidelog_daemon.sink.summaries import scalar_event

    folder = tmp_path_factory.mktemp("written")
    run = RunDirectory.open(folder, owner_note=b"{}")
    for number in range(1, 11):
        [(place, value)] = values(RUN, WORKER, "scalar", number).items()
        run.append("a" * 16, "light", number, [scalar_event(place.tag, value[1], number, 1.7e9)])
        if number % 3 == 0:
            run.commit()
    run.close()
    [path] = folder.glob("*tfevents*")
    return path.read_bytes()


@pytest.fixture
def logdir(tmp_path: Path, written: bytes) -> Path:
    (tmp_path / RUN).mkdir()
    event_file(tmp_path).write_bytes(written)
    return tmp_path


def event_file(logdir: Path, seconds: int = 1_700_000_000) -> Path:
    return logdir / RUN / f"events.out.tfevents.{seconds}.host.1.0000.sidelog"


def record_with_a_value(data: bytes) -> tuple[int, int, bytes]:
    """Where the first scalar stands: begin, end, and its event."""
    return next(record for record in records(data) if b"w1/scalar" in record[2])


def scalars(count: int = 10) -> Account:
    attempts = [Attempt("scalar", number, ENDED_AT - 100, returned=True) for number in range(1, count + 1)]
    return account(attempts)


def account(attempts: list[Attempt], *, ended: str = CLOSED, **told: int) -> Account:
    statistics = {"dropped": 0, "lost": 0, "rejected": 0, "pending": 0, "spooled": 0, **told}
    statistics["lost_causes"] = {}
    report = {"statistics": statistics, "threads": [], "error": ""}
    return Account(WORKER, RUN, "tcp", 1, attempts, ended, ENDED_AT, report)


def judged(account: Account, found: list[Value], **known: Any) -> Verdict:
    return Check([account], found, **known).run()


def test_what_is_as_it_must_be_has_no_faults(logdir: Path) -> None:
    reading = read_logdir(logdir)
    assert reading.faults == []
    assert (reading.files, reading.bytes) == (1, event_file(logdir).stat().st_size)
    verdict = judged(scalars(), reading.values)
    assert verdict.violations == []
    assert verdict.stands == verdict.logged == {"scalar": 10}


def test_a_record_that_stands_twice_is_found(logdir: Path, written: bytes) -> None:
    begin, end, event = record_with_a_value(written)
    event_file(logdir).write_bytes(written[:end] + framed(event) + written[end:])
    verdict = judged(scalars(), read_logdir(logdir).values)
    assert verdict.doubles == 1
    assert "w1, light lane, scalar 1: stands 2 times at run, tag w1/scalar, step 1" in verdict.violations[0]
    assert f"offset {begin}" in verdict.violations[0]


def test_a_record_that_is_missing_is_found(logdir: Path, written: bytes) -> None:
    begin, end, _ = record_with_a_value(written)
    event_file(logdir).write_bytes(written[:begin] + written[end:])
    reading = read_logdir(logdir)
    assert any("the marker says that it stands at" in fault for fault in reading.faults)
    verdict = judged(scalars(), reading.values)
    assert (verdict.lost, verdict.doubles) == (1, 0)
    assert verdict.violations[0].startswith("w1, light lane, scalar 1 (logged at 900.000")


@pytest.mark.parametrize("missing", [1, 5, 11, 13])
def test_a_torn_record_is_found(logdir: Path, written: bytes, missing: int) -> None:
    event_file(logdir).write_bytes(written[:-missing])
    [fault] = read_logdir(logdir).faults
    assert "expected a record of" in fault


def test_a_part_of_a_header_is_found(logdir: Path, written: bytes) -> None:
    event_file(logdir).write_bytes(written + b"\x05\0\0")
    [fault] = read_logdir(logdir).faults
    assert "got 3 bytes, expected a record's 12 bytes of header" in fault


@pytest.mark.parametrize(("at", "which"), [(0, "length's"), (8, "length's"), (12, "data's"), (-1, "data's")])
def test_a_wrong_checksum_is_found(logdir: Path, written: bytes, at: int, which: str) -> None:
    begin, end, _ = record_with_a_value(written)
    place = begin + at if at >= 0 else end + at
    event_file(logdir).write_bytes(written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :])
    [fault] = read_logdir(logdir).faults
    assert f"offset {begin}: the {which} CRC is" in fault


def test_what_no_marker_covers_is_found(logdir: Path, written: bytes) -> None:
    _, _, event = record_with_a_value(written)
    event_file(logdir).write_bytes(written + framed(event))
    [fault] = read_logdir(logdir).faults
    assert "the last record is no marker" in fault
    assert end_of_last_marker(written + framed(event)) == len(written)


def test_a_second_session_start_is_found(logdir: Path, written: bytes) -> None:
    event_file(logdir, 1_700_000_001).write_bytes(written)
    reading = read_logdir(logdir)
    assert any("START, expected only in the second record of a directory's first file" in one for one in reading.faults)


# The check


def standing(attempts: list[Attempt]) -> list[Value]:
    return [
        Value(place, value, "file", 0)
        for attempt in attempts
        for place, value in values(RUN, WORKER, attempt.kind, attempt.number).items()
    ]


def one_of_each(at: float = ENDED_AT - 100) -> list[Attempt]:
    return [Attempt(kind, 1, at, returned=True) for kind in LANES]


def test_all_that_stands_is_accepted() -> None:
    attempts = one_of_each()
    verdict = judged(account(attempts), standing(attempts))
    assert verdict.violations == []
    assert verdict.stands == dict.fromkeys(LANES, 1)


@pytest.mark.parametrize("kind", [kind for kind in LANES if kind != "picture"])
def test_a_loss_of_any_kind_is_a_violation(kind: str) -> None:
    attempts = one_of_each()
    verdict = judged(account(attempts), standing([one for one in attempts if one.kind != kind]))
    assert verdict.lost == 1
    assert f"{kind} 1 " in verdict.violations[0]


@pytest.mark.parametrize("kind", LANES)
def test_a_double_of_any_kind_is_a_violation(kind: str) -> None:
    attempts = one_of_each()
    verdict = judged(account(attempts), standing([*attempts, Attempt(kind, 1, 0)]))
    assert verdict.doubles == len(values(RUN, WORKER, kind, 1))


@pytest.mark.parametrize("kind", LANES)
def test_an_altered_value_of_any_kind_is_a_violation(kind: str) -> None:
    attempts = one_of_each()
    found = standing([one for one in attempts if one.kind != kind])
    others = list(values(RUN, "w2", kind, 2).values())
    found += [Value(place, other, "file", 0) for place, other in zip(values(RUN, WORKER, kind, 1), others, strict=True)]
    verdict = judged(account(attempts), found)
    assert verdict.strangers >= 1
    assert "another value at" in verdict.violations[0]


def test_one_altered_pixel_is_a_violation() -> None:
    attempts = [Attempt("picture", 1, 0, returned=True)]
    [(place, (kind, (pixels,)))] = values(RUN, WORKER, "picture", 1).items()
    changed = bytes([pixels[0] ^ 1]) + pixels[1:]
    verdict = judged(account(attempts), [Value(place, (kind, (changed,)), "file", 0)])
    assert verdict.strangers == 1


def test_what_nobody_logged_is_a_violation() -> None:
    verdict = judged(account([]), [Value(Place(RUN, "w9/scalar", 1), ("scalar", 0.5), "file", 7)])
    assert verdict.strangers == 1
    assert verdict.violations == ["run, tag w9/scalar, step 1: stands and was never logged: file offset 7"]


def test_the_daemons_word_on_what_is_missing_is_no_stranger() -> None:
    note = Value(Place(f"{RUN}/sidelog", "sidelog/dropped/text_summary", 0), ("text", "a table"), "file", 0)
    assert judged(account([]), [note]).violations == []


@pytest.mark.parametrize(("lost", "not_known", "is_right"), [(1, 0, True), (2, 1, True), (2, 0, False), (3, 1, False)])
def test_pictures_of_which_nobody_knows_may_stand(lost: int, not_known: int, is_right: bool) -> None:
    attempts = [Attempt("picture", number, 0, returned=True) for number in (1, 2)]
    told = account(attempts, lost=lost)
    told.report["statistics"]["lost_causes"] = {NOT_KNOWN: not_known} if not_known else {}
    assert (judged(told, standing(attempts[:1])).violations == []) == is_right


@pytest.mark.parametrize(("told", "is_right"), [({}, False), ({"dropped": 1}, True), ({"lost": 1}, True),
                                                ({"dropped": 1, "lost": 1}, False)])  # fmt: skip
def test_pictures_must_add_up(told: dict[str, int], is_right: bool) -> None:
    attempts = [Attempt("picture", number, 0, returned=True) for number in (1, 2)]
    verdict = judged(account(attempts, **told), standing(attempts[:1]))
    assert (verdict.violations == []) == is_right
    assert verdict.lost == 0


@pytest.mark.parametrize(("ended", "column"), [(KILLED, "last_seconds"), (OS_EXIT, "os_exit")])
def test_only_the_last_two_seconds_of_who_was_killed_may_be_missing(ended: str, column: str) -> None:
    early, late = Attempt("scalar", 1, ENDED_AT - 2.1), Attempt("scalar", 2, ENDED_AT - 1.9)
    verdict = judged(account([early, late], ended=ended), [])
    assert getattr(verdict, column) == {"scalar": 1}
    assert verdict.lost == 1
    assert "scalar 1 " in verdict.violations[0]


def test_only_what_stood_in_a_deleted_folder_may_be_missing_from_it() -> None:
    attempts = [Attempt("scalar", number, 0, returned=True) for number in (1, 2)]
    verdict = judged(account(attempts), [], deleted=set(values(RUN, WORKER, "scalar", 1)))
    assert (verdict.deleted, verdict.lost) == ({"scalar": 1}, 1)


def test_only_records_in_damaged_messages_of_a_spool_may_be_missing() -> None:
    attempts = [Attempt("hparams", 1, 0, True), *(Attempt("scalar", number, 0, True) for number in (1, 2))]
    damaged = {Kept("hp-w1-1", "w1/metric", 1), Kept(RUN, "w1/scalar", 1)}
    verdict = judged(account(attempts, ended=KILLED), [], damaged={WORKER: damaged})
    assert verdict.damaged == {"hparams": 1, "scalar": 1}
    assert verdict.lost == 1
    assert "scalar 2 " in verdict.violations[0]


def test_a_ledger_outlives_its_worker(tmp_path: Path) -> None:
    path = tmp_path / "w1.ledger"
    ledger = Ledger(path, worker=WORKER, run=RUN, site="tcp")
    ledger.before("scalar", 1)
    ledger.after("scalar", 1)
    ledger.before("scalar", 2)
    ledger.close()
    with path.open("ab") as file:
        file.write(b'["before", "sca')
    read = read_ledger(path)
    assert (read.worker, read.run, read.site) == (WORKER, RUN, "tcp")
    assert [(one.number, one.returned) for one in read.attempts] == [(1, True), (2, False)]


# What workers log, and what stands for it


def test_each_kind_stands_as_it_was_logged(
    daemon: Callable[..., DaemonProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDELOG_SPOOL_DIR", str(tmp_path / "spool"))
    logdir = tmp_path / "logdir"
    endpoint = daemon("--bind=tcp://127.0.0.1:*", f"--logdir={logdir}").endpoint
    attempts = [Attempt(kind, number, 0, returned=True) for number in range(1, 6) for kind in LANES]
    with (
        sidelog.SummaryWriter(RUN, endpoint=endpoint) as writer,
        sidelog.SummaryWriter(f"{RUN}/{SIDE}", endpoint=endpoint) as side,
    ):
        for attempt in attempts:
            log(side if attempt.kind == SIDE else writer, WORKER, attempt.kind, attempt.number)
    reading = read_logdir(logdir)
    assert reading.faults == []
    assert judged(account(attempts), reading.values).violations == []


# The schedule


def test_a_seed_is_a_schedule() -> None:
    faults = {"daemon": ["a", "b", "c"], "network": ["d", "e"]}
    assert plan(1, 60, faults) == plan(1, 60, faults)
    assert plan(1, 60, faults) != plan(2, 60, faults)
    first = [planned.fault for planned in plan(1, 60, faults) if planned.target == "daemon"][:3]
    assert sorted(first) == ["a", "b", "c"]


def test_every_fault_says_what_it_does() -> None:
    assert all(kind.means and kind.target for kind in FAULTS.values())


# The proxy


class Echo:
    """A server that sends back what it gets, and remembers it by connection."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard: list[bytearray] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.heard.append(bytearray())
            self._threads.append(threading.Thread(target=self._serve, args=(client, self.heard[-1])))
            self._threads[-1].start()

    def _serve(self, client: socket.socket, heard: bytearray) -> None:
        with client:
            while piece := client.recv(4096):
                heard += piece
                client.sendall(piece)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    made = Proxy(echo.port)
    yield made
    made.close()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as connected:
        yield connected


def said_back(client: socket.socket, words: bytes) -> bytes:
    client.sendall(words)
    return client.recv(4096)


def test_the_proxy_forwards(client: socket.socket) -> None:
    assert said_back(client, b"hello") == b"hello"


def test_the_proxy_cuts(proxy: Proxy, client: socket.socket) -> None:
    said_back(client, b"hello")
    assert proxy.cut() == 1
    assert client.recv(10) == b""
    wait_until(lambda: proxy.connections == 0)


def test_the_proxy_holds_one_direction_and_lets_go_of_what_it_held(
    proxy: Proxy, client: socket.socket, echo: Echo
) -> None:
    said_back(client, b"hello")
    proxy.hold("down")
    client.sendall(b"more")
    wait_until(lambda: echo.heard[0] == b"hellomore")  # up, it flows
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(10)
    assert proxy.connections == 1
    proxy.release()
    client.settimeout(20)
    assert client.recv(10) == b"more"


def test_the_proxy_says_it_again_on_another_connection(proxy: Proxy, client: socket.socket, echo: Echo) -> None:
    said_back(client, b"hello")
    assert proxy.duplicate() == len(b"hello")
    wait_until(lambda: echo.heard == [b"hello", b"hello"])
    assert said_back(client, b"you") == b"you"  # its own connection goes on


def test_the_proxy_meets_no_daemon(proxy: Proxy, echo: Echo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    lonely = Proxy(port)
    try:
        with socket.create_connection(("127.0.0.1", lonely.port), timeout=20) as client:
            assert client.recv(10) == b""
    finally:
        lonely.close()


# Spools


@pytest.mark.parametrize("how", ["corrupt", "truncated"])
def test_damage_to_a_spool_says_which_records_it_hit(tmp_path: Path, how: str) -> None:
    open_run = [PREFIX % 2, msgpack.packb({"run": 1, "path": f"/logs/{RUN}"})]
    messages = [open_run, *(_scalars_message(first, 3) for first in range(1, 31, 3))]
    path = tmp_path / "one.spool"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        recording.append(fd, 0, messages)
        hit = damage(path, how, random.Random(7))
        whole = [one for one in recording.read(fd) if isinstance(one, recording.Recorded)]
    finally:
        os.close(fd)
    assert hit
    assert len(whole) == len(messages) - len(hit) // 3
    left = {int(step) for one in whole[1:] for step in np.frombuffer(one.frames[3], "<i8")}
    assert hit == {Kept(RUN, "loss", step) for step in range(1, 31) if step not in left}


PREFIX = b"SDLG\x01\x00%c\x00\x01\x00\x00\x00"


def _scalars_message(first: int, count: int) -> list[bytes]:
    header = msgpack.packb({"seq": first, "count": count, "series": [[1, "loss"]]})
    steps = np.arange(first, first + count)
    return [PREFIX % 4, header, np.zeros(count, "<u4").tobytes(), steps.astype("<i8").tobytes()]
