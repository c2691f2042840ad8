"""A client written from docs/protocol.md with nothing but zmq, msgpack and struct, against a real daemon."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zmq

import sidelog
from event_files import read_run
from processes import DaemonProcess

HELLO, OPEN_RUN, CLOSE_RUN, SCALARS, RECORD, PART, FLUSH, HEARTBEAT, BYE, INQUIRE = range(1, 11)
WELCOME, OPENED, REFUSED, STATE, RESET, DRAINING, GOODBYE, REPORT = range(64, 72)
PREFIX = struct.Struct("<4sBBBxI")
MIB = 1 << 20


class HandClient:
    """What chapter "A client in twenty lines" of the specification says."""

    def __init__(self, endpoint: str, *, major: int = 1, worker: str = "00112233445566ff") -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(endpoint)
        self.major, self.epoch, self.worker = major, 1, worker

    def send(self, kind: int, header: dict[str, object], *buffers: bytes) -> None:
        prefix = PREFIX.pack(b"SDLG", self.major, 0, kind, self.epoch)
        self.socket.send_multipart([prefix, msgpack.packb(header), *buffers])

    def receive(self, *kinds: int) -> dict[str, object]:
        """The header of the next message of one of these kinds; others are passed over."""
        deadline = time.monotonic() + 20
        while self.socket.poll(max(0, round(1000 * (deadline - time.monotonic())))):
            prefix, header, *buffers = self.socket.recv_multipart()
            magic, major, _, kind, epoch = PREFIX.unpack(prefix)
            assert (magic, major) == (b"SDLG", 1)
            if kind in kinds and epoch in (self.epoch, 0):
                documents = {"document": msgpack.unpackb(buffers[0])} if buffers else {}
                return {"kind": kind} | msgpack.unpackb(header) | documents
        raise AssertionError(f"no answer of kind {kinds}")

    def hello(self) -> dict[str, object]:
        self.send(
            HELLO,
            {
                "minor": 0,
                "worker": {"id": self.worker, "host": "by-hand", "pid": 1, "rank": None, "world_size": None},
                "features": ["parts"],
                "next_seq": {"light": 1, "heavy": 1, "picture": 1},
            },
        )
        return self.receive(WELCOME, REFUSED)

    def open(self, run: int, path: str) -> dict[str, object]:
        self.send(OPEN_RUN, {"run": run, "path": path})
        return self.receive(OPENED, REFUSED)

    def scalar(self, seq: int, run: int, tag: str, step: int, value: float) -> None:
        self.send(
            SCALARS,
            {"seq": seq, "count": 1, "series": [[run, tag]]},
            struct.pack("<I", 0),
            struct.pack("<q", step),
            struct.pack("<d", time.time()),
            struct.pack("<d", value),
        )

    def picture(self, seq: int, run: int, tag: str, step: int, pixels: bytes, shape: list[int], storage: str) -> None:
        header = {
            "lane": "picture",
            "seq": seq,
            "run": run,
            "kind": 2,
            "tag": tag,
            "step": step,
            "wall": time.time(),
            "options": {"recipe": {"layout": "image", "dataformats": "HWC"}},
            "buffers": [[24, shape, storage, "raw"]],
        }
        self.send(RECORD, header, *([pixels] if storage == "frame" else []))

    def settle(self, lane: str, through: int) -> dict[str, object]:
        """Ask for a flush, and read until everything through a number has settled."""
        self.send(FLUSH, {})
        while True:
            state = self.receive(STATE)
            settled = state["lanes"][lane]["settled"]  # type: ignore[index]
            if settled and settled[0][0] == 1 and settled[0][1] >= through:
                return state

    def close(self) -> None:
        self.socket.close()
        self.context.term()


@pytest.fixture
def process(daemon: Callable[..., DaemonProcess], tmp_path: Path) -> DaemonProcess:
    return daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))


@pytest.fixture
def connect() -> Iterator[Callable[..., HandClient]]:
    clients: list[HandClient] = []

    def make(endpoint: str, **options: object) -> HandClient:
        clients.append(HandClient(endpoint, **options))  # type: ignore[arg-type]
        return clients[-1]

    yield make
    for client in clients:
        client.close()


Connect = Callable[..., HandClient]
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_a_scalar_and_a_picture_stand_in_the_event_file(
    process: DaemonProcess, connect: Connect, tmp_path: Path
) -> None:
    client = connect(process.endpoint)
    welcome = client.hello()
    assert (welcome["kind"], welcome["known"], welcome["features"]) == (WELCOME, False, ["parts"])
    assert client.open(1, "by-hand") == {"kind": OPENED, "run": 1, "light": 0, "heavy": 0, "picture": []}
    client.scalar(1, 1, "loss", 7, 0.5)
    client.picture(1, 1, "photo", 7, PIXELS.tobytes(), [5, 7, 3], "frame")
    client.settle("light", 1)
    state = client.settle("picture", 1)
    assert state["lanes"]["picture"]["ends"] == {"written": 1}  # type: ignore[index]
    client.send(BYE, {})
    assert client.receive(GOODBYE)["lanes"]["light"]["ends"] == {"written": 1}  # type: ignore[index]
    run = read_run(tmp_path / "by-hand")
    assert run.scalars == {"loss": [(7, 0.5)]}
    np.testing.assert_array_equal(run.pixels("photo"), PIXELS)


def test_a_scalar_settles_between_the_parts_of_a_picture(
    process: DaemonProcess, connect: Connect, tmp_path: Path
) -> None:
    client = connect(process.endpoint)
    client.hello()
    client.open(1, "run")
    large = np.zeros((1500, 1000, 3), np.uint8)
    data = large.tobytes()
    client.picture(1, 1, "large", 0, b"", [1500, 1000, 3], "parts")
    for number, offset in enumerate(range(0, len(data), MIB), start=1):
        client.scalar(number, 1, "loss", number, float(number))
        client.settle("light", number)
        assert read_run(tmp_path / "run").steps("loss")[-1] == number
        header = {"lane": "picture", "seq": 1, "buffer": 0, "offset": offset}
        client.send(PART, header, data[offset : offset + MIB])
    client.settle("picture", 1)
    assert read_run(tmp_path / "run").pixels("large").shape == (1500, 1000, 3)


def test_a_client_of_another_major_is_refused_with_both_versions(process: DaemonProcess, connect: Connect) -> None:
    client = connect(process.endpoint, major=2)
    assert client.hello() == {
        "kind": REFUSED,
        "code": "version",
        "text": "this daemon: message is of protocol 2.0, expected 1.x",
        "run": None,
        "endpoint": "",
    }


def test_a_client_that_is_not_known_is_told_to_begin_anew(process: DaemonProcess, connect: Connect) -> None:
    client = connect(process.endpoint)
    client.scalar(1, 1, "loss", 1, 1.0)
    client.receive(RESET)
    client.epoch += 1
    assert client.hello()["known"] is False


def test_who_asks_is_told_and_a_heartbeat_says_how_things_stand(
    process: DaemonProcess, connect: Connect, tmp_path: Path
) -> None:
    client, stranger = connect(process.endpoint), connect(process.endpoint)
    client.hello()
    client.open(1, "run")
    client.scalar(1, 1, "loss", 1, 1.0)
    client.settle("light", 1)
    nothing = {"records": 0, "bytes": 0}
    view = {
        "lanes": {"light": {"records": 2, "bytes": 56}, "heavy": nothing, "picture": nothing},
        "spool": nothing,
        "dropped": 1,
        "dropped_tags": {"photo": 1},
        "lost": {},
        "lag_s": 0.5,
        "field of a later minor version": [],
    }
    client.send(HEARTBEAT, {"view": view})
    client.receive(STATE)
    stranger.epoch = 0
    stranger.send(INQUIRE, {})
    report = stranger.receive(REPORT, RESET)["document"]
    assert (report["pid"], report["logdir"], report["worker_count"]) == (process.pid, str(tmp_path), 1)  # type: ignore[index]
    (worker,) = report["workers"]  # type: ignore[index]
    del view["field of a later minor version"]
    assert (worker["id"], worker["host"], worker["client"]) == (client.worker, "by-hand", view)
    assert worker["ends"] == {"written": 1, "rejected": 0, "dropped": 0, "lost": 0}
    (run,) = report["runs"]  # type: ignore[index]
    assert (run["path"], run["workers"], run["written"]) == (str(tmp_path / "run"), [worker["label"]], 1)


def test_what_is_sent_again_is_written_once_by_any_number_of_daemons(
    daemon: Callable[..., DaemonProcess], connect: Connect, tmp_path: Path
) -> None:
    for epoch in (1, 2):
        process = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
        client = connect(process.endpoint)
        client.epoch = epoch
        client.hello()
        opened = client.open(1, "run")
        assert opened["light"] == (0 if epoch == 1 else 3)
        for seq in (1, 2, 3, *([] if epoch == 1 else [4])):
            client.scalar(seq, 1, "loss", seq, float(seq))
        client.settle("light", 3 if epoch == 1 else 4)
        assert process.stop() == 0
        client.receive(DRAINING)
        client.receive(GOODBYE)
    assert read_run(tmp_path / "run").steps("loss") == [1, 2, 3, 4]


def test_noise_and_lies_harm_nobody_else(process: DaemonProcess, connect: Connect, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with sidelog.SummaryWriter("good", endpoint=process.endpoint) as writer:
        bad = connect(process.endpoint)
        bad.hello()
        bad.open(1, "bad")
        for step in range(200):
            writer.add_scalar("loss", float(step), step)
            bad.socket.send_multipart([rng.bytes(int(rng.integers(0, 40))) for _ in range(int(rng.integers(1, 22)))])
            bad.send(int(rng.integers(0, 80)), {"seq": step, "lane": "picture", "run": 1, "kind": 2})
        bad.picture(1000, 1, "empty", 0, b"", [0, 0, 3], "frame")
        bad.picture(1001, 1, "empty too", 0, b"", [0, 0, 3], "frame")
        bad.picture(1002, 1, "photo", 0, PIXELS.tobytes(), [5, 7, 3], "frame")
        bad.send(HEARTBEAT, {})
        bad.socket.send(bytes(5 * MIB))  # longer than a frame may be: the connection is cut
    assert read_run(tmp_path / "good").steps("loss") == list(range(200))
    assert process.stop() == 0
    assert read_run(tmp_path / "bad").steps("photo") in ([0], [])


def test_a_daemon_of_another_major_is_told_of_and_nothing_hangs(tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        port = router.bind_to_random_port("tcp://127.0.0.1")
        writer = sidelog.SummaryWriter("run", endpoint=f"tcp://127.0.0.1:{port}")
        writer.add_scalar("loss", 1.0, 1)
        assert router.poll(20_000)
        peer, *_ = router.recv_multipart()
        refusal = {"code": "version", "text": "no", "run": None, "endpoint": ""}
        router.send_multipart([peer, PREFIX.pack(b"SDLG", 2, 3, REFUSED, 0), msgpack.packb(refusal)])
        for settle in (writer.flush, writer.close):
            with pytest.raises(sidelog.ProtocolError) as caught:
                settle()
            assert "the daemon speaks another protocol: message is of protocol 2.3, expected 1.x" in str(caught.value)


def test_a_daemon_that_refuses_our_major_is_told_of_and_nothing_hangs(tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        port = router.bind_to_random_port("tcp://127.0.0.1")
        writer = sidelog.SummaryWriter("run", endpoint=f"tcp://127.0.0.1:{port}")
        writer.add_scalar("loss", 1.0, 1)
        assert router.poll(20_000)
        peer, *_ = router.recv_multipart()
        text = "this daemon: message is of protocol 1.0, expected 0.x"
        refusal = {"code": "version", "text": text, "run": None, "endpoint": ""}
        router.send_multipart([peer, PREFIX.pack(b"SDLG", 1, 0, REFUSED, 0), msgpack.packb(refusal)])
        for settle in (writer.flush, writer.close):
            with pytest.raises(sidelog.ProtocolError, match=r"this daemon: message is of protocol 1\.0, expected 0"):
                settle()
