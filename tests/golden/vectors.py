"""The golden messages of protocol 1.1: one per message kind and per record kind, and how they stand on disk.

``protocol-1.1.txt`` is the checked-in truth: a change that alters one of its bytes breaks clients in the field. A new
minor version gets a file of its own beside it, and those of earlier ones are read for ever. To write the file of a
version that is not published yet:

    python tests/golden/vectors.py > tests/golden/protocol-1.1.txt

Format: a line ``[name] message-kind``, then one line of hexadecimal digits per frame (``-`` for an empty frame).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sidelog_shared import dtypes, replies, requests
from sidelog_shared.client_view import Backlog, ClientView
from sidelog_shared.documents import pack_document
from sidelog_shared.frames import MessageKind
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import STEP_NEXT, STEP_NONE, Limits
from sidelog_shared.recipe import Format, Layout, Recipe
from sidelog_shared.records import (
    BufferSpec,
    End,
    Kind,
    Lane,
    LaneState,
    Record,
    Refusal,
    RunMarks,
    ScalarColumns,
    ScalarForm,
    Series,
    Worker,
)
from sidelog_shared.report import DaemonReport, RunReport, WorkerReport

FILE = Path(__file__).with_name("protocol-1.1.txt")
EARLIER = (Path(__file__).with_name("protocol-1.0.txt"),)
EPOCH = 3
WALL_TIME = 1_700_000_000.25
WORKER = Worker("0123456789abcdef", "node7", 4711, 1, 2)
STATUS = replies.Status(
    {
        Lane.LIGHT: LaneState(IntervalSet([(1, 7)]), IntervalSet([(1, 5)]), {End.WRITTEN: 4, End.REJECTED: 1}),
        Lane.HEAVY: LaneState(),
        Lane.PICTURE: LaneState(IntervalSet([(1, 4)]), IntervalSet([(1, 1), (3, 3)]), {End.WRITTEN: 1, End.DROPPED: 1}),
    },
    {"layer1": 1},
    (replies.Trouble(1, "text 'note' at step 3: the text is not UTF-8"),),
)
VIEW = ClientView(
    lanes={Lane.LIGHT: Backlog(120, 24_000), Lane.HEAVY: Backlog(1, 512_000), Lane.PICTURE: Backlog()},
    spool=Backlog(7, 1_890),
    dropped=3,
    dropped_tags={"layer1": 2, "layer2": 1},
    lost={"went down with a daemon or its connection": 1},
    lag_s=0.75,
)
REPORT = DaemonReport(
    instance="fedcba9876543210",
    pid=815,
    version="0.1.0",
    minor=1,
    logdir="/data/runs",
    state="serving",
    uptime_s=3600.5,
    render=Backlog(2, 4096),
    budget_bytes=1 << 30,
    faults={"malformed": 1},
    workers=(
        WorkerReport(
            worker=WORKER,
            state="live",
            known_s=60.25,
            heard_s=0.125,
            runs=("/data/runs/exp1",),
            received_records=7,
            received_bytes=8192,
            records_per_s=0.5,
            bytes_per_s=512.0,
            ends={End.WRITTEN: 5, End.REJECTED: 1, End.DROPPED: 1, End.LOST: 0},
            unsettled=2,
            render=Backlog(2, 4096),
            dropped_tags={"layer1": 1},
            refused=(("/data/runs/exp2", "run directory /data/runs/exp2 is written by another daemon"),),
            faults={"malformed": 1},
            last_error="text 'note' at step 3: the text is not UTF-8",
            last_error_s=12.5,
            client=VIEW,
            client_s=0.5,
        ),
    ),
    worker_count=1,
    runs=(RunReport("/data/runs/exp1", ("rank 1 (node7:4711)",), 5, 1024, "No space left on device", 3.5),),
    run_count=1,
)
_PIXELS = bytes(range(12))
_VALUES = np.array([0.0, 0.5, 1.5, 4.0], "<f4").tobytes()
_EDGES = np.array([0.0, 1.0, 2.0], "<f8").tobytes()


def _record(lane: Lane, kind: Kind, tag: str, options: dict[str, object], *buffers: tuple[BufferSpec, bytes]) -> Record:
    specs, data = tuple(spec for spec, _ in buffers), tuple(data for _, data in buffers)
    return Record(lane, 7, 1, kind, tag, 3, WALL_TIME, options, specs, data)


def _message(
    lane: Lane, kind: Kind, tag: str, options: dict[str, object], *buffers: tuple[BufferSpec, bytes]
) -> requests.RecordMessage:
    return requests.RecordMessage(_record(lane, kind, tag, options, *buffers))


def _floats(*shape: int) -> tuple[BufferSpec, bytes]:
    count = int(np.prod(shape))
    return BufferSpec(dtypes.FLOAT64, shape), (np.arange(count) / 4).astype("<f8").tobytes()


def _document(value: object) -> tuple[BufferSpec, bytes]:
    data = pack_document(value)
    return BufferSpec(dtypes.UINT8, (len(data),)), data


MESSAGES: dict[str, requests.Request | replies.Reply] = {
    "hello": requests.Hello(WORKER, next_seq={Lane.LIGHT: 1, Lane.HEAVY: 1, Lane.PICTURE: 1}),
    "open-run": requests.OpenRun(1, "exp1/rank_1", 1700000000.25),
    "close-run": requests.CloseRun(1),
    "scalars": requests.Scalars(
        ScalarColumns(
            5,
            (Series(1, "loss"), Series(1, "train/accuracy", "Accuracy", "of the *training* set")),
            np.array([0, 1, 0], "<u4"),
            np.array([10, 10, STEP_NONE], "<i8"),
            np.array([WALL_TIME, WALL_TIME, WALL_TIME + 1], "<f8"),
            np.array([0.5, 0.75, -np.inf], "<f8"),
        )
    ),
    "text": requests.RecordMessage(
        _record(Lane.LIGHT, Kind.TEXT, "note", {}, (BufferSpec(dtypes.UINT8, (6,)), "größ".encode()))
    ),
    "picture": requests.RecordMessage(
        _record(
            Lane.PICTURE,
            Kind.PICTURE,
            "layer1",
            {"recipe": Recipe(Layout.GRID, nrow=2, padding=1, normalize=True, source="sample 0 of 16").to_map()},
            (BufferSpec(dtypes.UINT8, (3, 1, 2, 2)), _PIXELS),
        )
    ),
    "picture-as-jpeg": requests.RecordMessage(
        _record(
            Lane.PICTURE,
            Kind.PICTURE,
            "photo",
            {"recipe": Recipe(Layout.IMAGE, "HWC", format=Format.JPEG, quality=75).to_map()},
            (BufferSpec(dtypes.UINT8, (2, 2, 3)), _PIXELS),
        )
    ),
    "picture-in-parts": requests.RecordMessage(
        _record(
            Lane.PICTURE,
            Kind.PICTURE,
            "layer1",
            {"recipe": {"layout": "image", "dataformats": "CHW"}},
            (BufferSpec(dtypes.BFLOAT16, (3, 1, 2), "parts"), _PIXELS),
        )
    ),
    "part": requests.Part(Lane.PICTURE, 7, 0, 0, _PIXELS),
    "histogram": requests.RecordMessage(
        _record(
            Lane.PICTURE,
            Kind.HISTOGRAM,
            "weights",
            {"bins": "tensorflow", "max_bins": 30},
            (BufferSpec(dtypes.FLOAT32, (2, 2)), _VALUES),
        )
    ),
    "histogram-with-edges": requests.RecordMessage(
        _record(
            Lane.PICTURE,
            Kind.HISTOGRAM,
            "weights",
            {},
            (BufferSpec(dtypes.FLOAT32, (4,)), _VALUES),
            (BufferSpec(dtypes.FLOAT64, (3,)), _EDGES),
        )
    ),
    "scalars-of-new-style-at-the-next-step": requests.Scalars(
        ScalarColumns(
            8,
            (Series(1, "loss", form=ScalarForm.DOUBLE),),
            np.array([0], "<u4"),
            np.array([STEP_NEXT], "<i8"),
            np.array([WALL_TIME], "<f8"),
            np.array([0.5], "<f8"),
        )
    ),
    "boxes": _message(
        Lane.PICTURE,
        Kind.BOXES,
        "detections",
        {"dataformats": "CHW", "labels": ["cat"], "rescale": 2.0},
        (BufferSpec(dtypes.UINT8, (3, 2, 2)), _PIXELS),
        _floats(1, 4),
    ),
    "hparams": _message(
        Lane.LIGHT,
        Kind.HPARAMS,
        "hparams",
        {},
        _document(
            {
                "hparams": [["lr", 0.1], ["bn", True], ["optimizer", "adam"], ["odd", None]],
                "metrics": ["loss"],
                "domains": {"lr": [0.1, 0.01]},
            }
        ),
    ),
    "layout": _message(
        Lane.LIGHT,
        Kind.LAYOUT,
        "custom_scalars",
        {},
        _document([["Taiwan", [["twse", "Multiline", ["twse/0050"]], ["dow", "Margin", ["a", "b", "c"]]]]]),
    ),
    "buckets": _message(Lane.LIGHT, Kind.BUCKETS, "weights", {}, _floats(3), _floats(3), _floats(5)),
    "pr-counts": _message(Lane.LIGHT, Kind.PR_COUNTS, "curve", {"num_thresholds": 2}, _floats(6, 2)),
    "purge": _message(Lane.LIGHT, Kind.PURGE, "purge_step", {}),
    "pr-curve": _message(Lane.HEAVY, Kind.PR_CURVE, "curve", {"num_thresholds": 127}, _floats(4), _floats(4)),
    "audio": _message(Lane.HEAVY, Kind.AUDIO, "clip", {"sample_rate": 8000}, _floats(4, 2)),
    "video": _message(
        Lane.HEAVY,
        Kind.VIDEO,
        "clip",
        {"dataformats": "NTCHW", "fps": 4.0},
        (BufferSpec(dtypes.UINT8, (1, 2, 3, 1, 2)), _PIXELS),
    ),
    "mesh": _message(
        Lane.HEAVY,
        Kind.MESH,
        "cloud",
        {"parts": ["vertices", "colors"], "config": "null"},
        _floats(1, 2, 3),
        (BufferSpec(dtypes.UINT8, (1, 4, 3)), _PIXELS),
    ),
    "embedding": _message(
        Lane.HEAVY,
        Kind.EMBEDDING,
        "default",
        {"parts": ["metadata", "sprites"]},
        _floats(1, 2),
        _document({"header": None, "rows": ["a"]}),
        (BufferSpec(dtypes.UINT8, (1, 3, 2, 2)), _PIXELS),
    ),
    "tensor": _message(Lane.HEAVY, Kind.TENSOR, "weights", {}, _floats(2, 2)),
    "onnx": _message(Lane.HEAVY, Kind.ONNX, "onnx", {}, (BufferSpec(dtypes.UINT8, (12,)), _PIXELS)),
    "summary": _message(Lane.LIGHT, Kind.SUMMARY, "summary", {}, (BufferSpec(dtypes.UINT8, (12,)), _PIXELS)),
    "flush": requests.Flush(),
    "heartbeat": requests.Heartbeat(),
    "heartbeat-with-a-view": requests.Heartbeat(VIEW),
    "bye": requests.Bye(),
    "inquire": requests.Inquire(),
    "welcome": replies.Welcome("fedcba9876543210", True, "/data/runs", Limits(), STATUS),
    "opened": replies.Opened(1, RunMarks(5, 0, ((1, 1), (3, 3)))),
    "refused-run": replies.Refused(
        Refusal.RUN_BUSY, "run directory /data/runs/exp1 is written by another daemon", 1, "tcp://127.0.0.1:5557"
    ),
    "refused-hello": replies.Refused(Refusal.DRAINING, "this daemon is going down"),
    "state": replies.State(STATUS),
    "settled": replies.Settled({Lane.LIGHT: ((9, 12), (15, 15)), Lane.PICTURE: ((7, 7),)}),
    "reset": replies.Reset(),
    "draining": replies.Draining(),
    "goodbye": replies.Goodbye(STATUS),
    "report": replies.Report(REPORT),
}


def encode(name: str) -> list[bytes]:
    """The frames of a message, as they are sent today."""
    return [bytes(frame) for frame in MESSAGES[name].frames(EPOCH)]


def read_file(file: Path = FILE) -> dict[str, list[bytes]]:
    """The frames of every message, as they are checked in."""
    vectors: dict[str, list[bytes]] = {}
    frames: list[bytes] = []
    for line in file.read_text().splitlines():
        if line.startswith("["):
            frames = vectors[line[1 : line.index("]")]] = []
        elif line:
            frames.append(b"" if line == "-" else bytes.fromhex(line))
    return vectors


if __name__ == "__main__":
    for _name, _message in MESSAGES.items():
        print(f"[{_name}] {MessageKind(_message.kind).name}")
        for _frame in encode(_name):
            print(_frame.hex() or "-")
