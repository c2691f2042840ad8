"""Messages: what is written is what is read, and what is wrong is refused by name."""

from __future__ import annotations

import contextlib
import dataclasses
import struct
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import all_replies, epochs, records, scalars, simple_requests

from sidelog_shared import dtypes, replies, requests
from sidelog_shared.errors import BadMagic, LimitExceeded, MalformedHeader, ProtocolError, VersionMismatch
from sidelog_shared.frames import MAJOR, MINOR, MessageKind, pack, pack_header, unpack
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import MAX_FRAMES, MAX_HEADER_BYTES, MIB, PART_BYTES, Limits
from sidelog_shared.records import BufferSpec, End, Kind, Lane, LaneState, Record, Refusal, Worker

PREFIX = struct.Struct("<4sBBBxI")


def read(frames: list[Any], max_bytes: int = MIB) -> requests.Request:
    """As a daemon reads what came from the wire: every frame a memoryview."""
    return requests.read_request(
        unpack([memoryview(frame) for frame in frames], max_bytes=max_bytes), max_record_bytes=max_bytes
    )


def text_record(**changes: object) -> dict[str, object]:
    header: dict[str, object] = {
        "lane": "light",
        "seq": 1,
        "run": 1,
        "kind": 1,
        "tag": "note",
        "step": 3,
        "wall": 1.5,
        "options": {},
        "buffers": [[24, [5], "frame", "raw"]],
    }
    return header | changes


class TestRoundTrip:
    @given(simple_requests, epochs)
    def test_of_requests(self, request: requests.Request, epoch: int) -> None:
        envelope = unpack(request.frames(epoch), max_bytes=MIB)
        assert (envelope.kind, envelope.minor, envelope.epoch) == (request.kind, MINOR, epoch)
        assert read(request.frames(epoch)) == request

    @given(scalars())
    def test_of_scalars(self, message: requests.Scalars) -> None:
        got = read(message.frames(1))
        assert isinstance(got, requests.Scalars)
        assert (got.columns.first_seq, got.columns.series) == (message.columns.first_seq, message.columns.series)
        for name in ("index", "steps", "wall_times", "values"):
            np.testing.assert_array_equal(getattr(got.columns, name), getattr(message.columns, name), strict=True)

    @given(records(storage="parts"))
    def test_of_a_record_in_parts(self, message: requests.RecordMessage) -> None:
        got = read(message.frames(1))
        assert got == requests.RecordMessage(dataclasses.replace(message.record, buffers=()))
        whole = [bytearray(spec.nbytes) for spec in message.record.specs]
        for frames in requests.part_messages(message.record, 1):
            part = read(frames)
            assert isinstance(part, requests.Part)
            whole[part.buffer][part.offset : part.offset + len(part.data)] = part.data
        assert tuple(map(bytes, whole)) == message.record.buffers

    @given(all_replies, epochs)
    def test_of_replies(self, reply: replies.Reply, epoch: int) -> None:
        envelope = unpack(reply.frames(epoch), max_bytes=MIB)
        assert envelope.epoch == epoch
        assert replies.read_reply(envelope) == reply

    def test_parts_are_cut_at_a_mebibyte(self) -> None:
        spec = BufferSpec(dtypes.UINT8, (2 * PART_BYTES + 1,), "parts")
        data = bytes(range(256)) * (2 * PART_BYTES // 256) + b"!"
        record = Record(Lane.PICTURE, 7, 1, Kind.PICTURE, "video", 0, 0.0, {}, (spec,), (data,))
        parts = [read(frames, 4 * MIB) for frames in requests.part_messages(record, 1)]
        assert [(part.offset, len(part.data)) for part in parts] == [  # type: ignore[union-attr]
            (0, PART_BYTES), (PART_BYTES, PART_BYTES), (2 * PART_BYTES, 1)
        ]  # fmt: skip


class TestOuterForm:
    """Design section 5's order of checks: each case also breaks everything that is checked later."""

    GOOD_PREFIX = PREFIX.pack(b"SDLG", MAJOR, MINOR, MessageKind.FLUSH, 1)

    @pytest.mark.parametrize(
        ("frames", "error", "message"),
        [
            ([b"junk"] * (MAX_FRAMES + 1), LimitExceeded, "message has 19 frames, limit 18 (limits.MAX_FRAMES)"),
            ([], BadMagic, "frame 0 is 0 bytes, expected 12"),
            ([b"SDLG"], BadMagic, "frame 0 is 4 bytes, expected 12"),
            ([PREFIX.pack(b"HTTP", 9, 0, 7, 1)], BadMagic, "frame 0 begins with b'HTTP', expected b'SDLG'"),
            ([PREFIX.pack(b"SDLG", 2, 7, 7, 1)], VersionMismatch, "message is of protocol 2.7, expected 1.x"),
            ([GOOD_PREFIX], MalformedHeader, "message has no header frame, expected a msgpack map in frame 1"),
            (
                [GOOD_PREFIX, b"\xc1" * (MAX_HEADER_BYTES + 1), bytes(MIB + 1)],
                LimitExceeded,
                "header is 65,537 bytes, limit 65,536 (limits.MAX_HEADER_BYTES)",
            ),
            ([GOOD_PREFIX, b"\xc1", bytes(MIB), b"!"], LimitExceeded, "1,048,577 bytes of buffers, limit 1,048,576"),
            ([GOOD_PREFIX, b"\xc1"], MalformedHeader, "header is not msgpack: "),
            ([GOOD_PREFIX, b"\x81\xa1a\xa1\xff"], MalformedHeader, "header is not msgpack: "),
            ([GOOD_PREFIX, b"\x80\x80"], MalformedHeader, "header is not msgpack: "),
            ([GOOD_PREFIX, b"\x91" * 60_000], MalformedHeader, "header is not msgpack: "),
            ([GOOD_PREFIX, msgpack.packb([1, 2])], MalformedHeader, "header is list, expected a map with string keys"),
            ([GOOD_PREFIX, msgpack.packb({b"a": 1})], MalformedHeader, "expected a map with string keys"),
        ],
    )  # fmt: skip
    def test_is_checked_cheapest_first(self, frames: list[bytes], error: type[ProtocolError], message: str) -> None:
        with pytest.raises(error) as caught:
            unpack(frames, max_bytes=MIB)
        assert type(caught.value) is error
        assert message in str(caught.value)

    def test_of_a_header_that_is_too_long_to_send(self) -> None:
        with pytest.raises(LimitExceeded, match=r"header is 70,\d+ bytes, limit 65,536"):
            pack_header({"text": "x" * 70_000})

    def test_of_an_unknown_minor_is_read_and_extra_fields_ignored(self) -> None:
        header = msgpack.packb(
            {"run": 3, "path": "exp1", "color": "blue", "nested": {"deep": [1, None]}}, use_bin_type=True
        )
        frames = [PREFIX.pack(b"SDLG", MAJOR, MINOR + 9, MessageKind.OPEN_RUN, 1), header]
        envelope = unpack(frames, max_bytes=MIB)
        assert envelope.minor == MINOR + 9
        assert requests.read_request(envelope, max_record_bytes=MIB) == requests.OpenRun(3, "exp1")

    def test_of_an_unknown_kind(self) -> None:
        envelope = unpack([PREFIX.pack(b"SDLG", MAJOR, 0, 33, 1), b"\x80"], max_bytes=MIB)
        with pytest.raises(MalformedHeader, match=r"message kind is 33, expected one of \[1, 2, .*, 9, 10\]"):
            requests.read_request(envelope, max_record_bytes=MIB)
        assert replies.read_reply(envelope) is None  # a newer daemon may say more


RECORD_FAULTS: list[tuple[dict[str, object], str]] = [
    ({"tag": 5}, "RECORD.tag is 5, expected a string of at most 1024 characters"),
    ({"tag": ""}, "tag is the empty string, expected a non-empty string such as 'train/loss'"),
    ({"tag": "é" * 600}, "is 1,200 bytes, limit 1,024"),
    ({"tag": "a\0b"}, "has a NUL character, expected none"),
    ({"tag": "//"}, "is made of slashes alone"),
    ({"kind": 99}, "RECORD.kind is 99, expected one of [1, 2, 3, 4, "),
    ({"kind": True}, "RECORD.kind is True, expected an integer in 0..255"),
    ({"lane": "fast"}, "RECORD.lane is 'fast', expected one of ['light', 'heavy', 'picture']"),
    ({"seq": 0}, "RECORD.seq is 0, expected an integer in 1..9223372036854775807"),
    ({"seq": "x"}, "RECORD.seq is 'x', expected an integer in 1..9223372036854775807"),
    ({"run": -1}, "RECORD.run is -1, expected an integer in 0..2147483647"),
    ({"step": 1.5}, "RECORD.step is 1.5, expected an integer in "),
    ({"step": -(2**63)}, "RECORD.step is -9223372036854775808, expected an integer in -9223372036854775807.."),
    ({"wall": float("nan")}, "RECORD.wall is nan, expected a finite number"),
    ({"wall": float("inf")}, "RECORD.wall is inf, expected a finite number"),
    ({"wall": "now"}, "RECORD.wall is 'now', expected a finite number"),
    ({"options": []}, "RECORD.options is [], expected a map"),
    ({"buffers": 3}, "RECORD.buffers is 3, expected a list of at most 16 items"),
    ({"buffers": [[24, [0], "frame", "raw"]] * 17}, "expected a list of at most 16 items"),
    ({"buffers": [[24, [5]]]}, "RECORD.buffers[0] is [24, [5]], expected [dtype, shape, storage, codec]"),
    ({"buffers": [[99, [5], "frame", "raw"]]}, "RECORD.buffers[0].dtype is 99, expected one of [1, 2, 3, 4, 5, 6, 7"),
    ({"buffers": [["uint8", [5], "frame", "raw"]]}, "RECORD.buffers[0].dtype is 'uint8', expected one of"),
    ({"buffers": [[24, [1] * 9, "frame", "raw"]]}, "expected a list of at most 8 sizes"),
    ({"buffers": [[24, [-5], "frame", "raw"]]}, "RECORD.buffers[0].shape is [-5], expected integers in 0..2147483647"),
    ({"buffers": [[24, [True], "frame", "raw"]]}, "RECORD.buffers[0].shape is [True], expected integers"),
    ({"buffers": [[24, [5], "shm", "raw"]]}, "RECORD.buffers[0].storage is 'shm', expected 'frame' or 'parts'"),
    ({"buffers": [[24, [5], "frame", "zstd"]]}, "RECORD.buffers[0].codec is 'zstd', expected 'raw'"),
    ({"buffers": [[24, [6], "frame", "raw"]]}, "RECORD.buffers[0] is 5 bytes, expected 6 (uint8 [6])"),
    ({"buffers": [[2, [5], "frame", "raw"]]}, "RECORD.buffers[0] is 5 bytes, expected 20 (float32 [5])"),
    ({"buffers": []}, "RECORD has 1 buffers, expected 0"),
    ({"buffers": [[24, [5], "parts", "raw"]]}, "RECORD has 1 buffers, expected none before its parts"),
    ({"buffers": [[24, [5], "parts", "raw"], [24, [5], "frame", "raw"]]}, "expected one storage for all of them"),
    ({"buffers": [[24, [0], "parts", "raw"]]}, "RECORD has 0 bytes in parts, expected at least 1"),
]


class TestFields:
    @pytest.mark.parametrize(("changes", "message"), RECORD_FAULTS, ids=[text[:50] for _, text in RECORD_FAULTS])
    def test_of_a_record(self, changes: dict[str, object], message: str) -> None:
        assert isinstance(read(pack(MessageKind.RECORD, 1, text_record(), [b"hello"])), requests.RecordMessage)
        with pytest.raises(MalformedHeader) as caught:
            read(pack(MessageKind.RECORD, 1, text_record(**changes), [b"hello"]))
        assert message in str(caught.value)

    @pytest.mark.parametrize("name", sorted(set(text_record()) - {"step", "options"}))
    def test_of_a_record_that_are_missing(self, name: str) -> None:
        header = text_record()
        del header[name]
        with pytest.raises(MalformedHeader, match=f"RECORD.{name} is missing, expected "):
            read(pack(MessageKind.RECORD, 1, header, [b"hello"]))

    def test_of_a_record_that_is_too_large(self) -> None:
        header = text_record(buffers=[[24, [MIB + 1], "parts", "raw"]])
        with pytest.raises(LimitExceeded, match=r"RECORD is 1,048,577 bytes, limit 1,048,576 \(limits.max_record_byt"):
            read(pack(MessageKind.RECORD, 1, header))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"count": 0}, "SCALARS.count is 0, expected an integer in 1..1048576"),
            ({"seq": 2**63 - 1}, "SCALARS.seq is 9223372036854775807, expected an integer in 1.."),
            ({"count": 3}, "SCALARS.index is 8 bytes, expected 12 (3 x <u4)"),
            ({"series": [[1, "loss"]]}, "SCALARS.index has 1, expected less than 1 (series)"),
            ({"series": [[1, "loss"], [1]]}, "SCALARS.series[1] is [1], expected [run, tag] or [run, tag, name, descr"),
            ({"series": [[1, "loss"], [-2, "a"]]}, "SCALARS.series[1][0] is -2, expected a run id in 0..2147483647"),
            ({"series": [[1, "loss"], [1, ""]]}, "SCALARS.series[1]: tag is the empty string"),
            ({"series": [[1, "loss"], [1, 7]]}, "SCALARS.series[1]: tag is int 7, expected a non-empty string"),
            ({"series": [[1, "loss"], [1, "a", "b", 3]]}, "SCALARS.series[1][2:] is ['b', 3], expected two strings"),
        ],
    )
    def test_of_scalars(self, changes: dict[str, object], message: str) -> None:
        header = {"seq": 1, "count": 2, "series": [[1, "loss"], [1, "accuracy"]]}
        columns = [np.array(column, dtype).tobytes() for column, dtype in
                   (([0, 1], "<u4"), ([5, 5], "<i8"), ([0.0, 0.0], "<f8"), ([1.0, 2.0], "<f8"))]  # fmt: skip
        read(pack(MessageKind.SCALARS, 1, header, columns))
        with pytest.raises(MalformedHeader) as caught:
            read(pack(MessageKind.SCALARS, 1, header | changes, columns))
        assert message in str(caught.value)

    def test_of_scalars_with_a_wall_time_that_is_not_finite(self) -> None:
        header = {"seq": 1, "count": 1, "series": [[1, "loss"]]}
        columns = [bytes(4), bytes(8), np.array([np.nan]).tobytes(), bytes(8)]
        with pytest.raises(MalformedHeader, match=r"SCALARS.wall_times has a number that is not finite"):
            read(pack(MessageKind.SCALARS, 1, header, columns))
        with pytest.raises(MalformedHeader, match="SCALARS has 3 buffers, expected 4 columns"):
            read(pack(MessageKind.SCALARS, 1, header, columns[:3]))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"id": "xyz"}, "HELLO.worker.id is 'xyz', expected 16 hexadecimal digits"),
            ({"id": "0123456789ABCDEF"}, "expected 16 hexadecimal digits"),
            ({"pid": -1}, "HELLO.worker.pid is -1, expected an integer in 0..9223372036854775807"),
            ({"host": None}, "HELLO.worker.host is None, expected a string of at most 256 characters"),
            ({"rank": "0"}, "HELLO.worker.rank is '0', expected an integer in 0..2147483647"),
            ({"world_size": 0}, "HELLO.worker.world_size is 0, expected an integer in 1..2147483647"),
        ],
    )
    def test_of_hello(self, changes: dict[str, object], message: str) -> None:
        worker = {"id": "0123456789abcdef", "host": "h", "pid": 1, "rank": None, "world_size": None}
        header: dict[str, object] = {"features": [], "next_seq": {"light": 1, "heavy": 1, "picture": 1}}
        read(pack(MessageKind.HELLO, 1, header | {"worker": worker}))
        with pytest.raises(MalformedHeader) as caught:
            read(pack(MessageKind.HELLO, 1, header | {"worker": worker | changes}))
        assert message in str(caught.value)

    def test_of_hello_without_a_lane(self) -> None:
        hello = requests.Hello(Worker("0" * 16, "h", 1), next_seq={Lane.LIGHT: 1, Lane.PICTURE: 1})
        with pytest.raises(MalformedHeader, match=r"HELLO.next_seq.heavy is missing, expected an integer in 1"):
            read(hello.frames(1))

    def test_of_a_part(self) -> None:
        header = {"lane": "picture", "seq": 1, "buffer": 16, "offset": 0}
        with pytest.raises(MalformedHeader, match=r"PART.buffer is 16, expected an integer in 0..15"):
            read(pack(MessageKind.PART, 1, header, [b"x"]))
        with pytest.raises(MalformedHeader, match="PART has 0 buffers, expected 1"):
            read(pack(MessageKind.PART, 1, header | {"buffer": 0}))

    def test_of_refused_with_a_code_of_the_future(self) -> None:
        frames = pack(MessageKind.REFUSED, 1, {"code": "full-moon", "text": "", "run": None, "endpoint": ""})
        with pytest.raises(
            MalformedHeader, match=r"REFUSED.code is 'full-moon', expected one of .'version', 'run-busy'"
        ):
            replies.read_reply(unpack(frames, max_bytes=MIB))


class TestPositionOfTheUnreadable:
    """What cannot be read is settled as rejected all the same, if it can be told which records it was."""

    @pytest.mark.parametrize(
        ("kind", "header", "position"),
        [
            (MessageKind.RECORD, text_record(lane="picture", seq=9, kind=77), (Lane.PICTURE, 9, 9)),
            (MessageKind.PART, {"lane": "light", "seq": 4}, (Lane.LIGHT, 4, 4)),
            (MessageKind.SCALARS, {"seq": 11, "count": 5}, (Lane.LIGHT, 11, 15)),
        ],
    )
    def test_is_read(self, kind: MessageKind, header: dict[str, object], position: tuple[Lane, int, int]) -> None:
        assert requests.read_position(unpack(pack(kind, 1, header), max_bytes=MIB)) == position

    @pytest.mark.parametrize(
        ("kind", "header"),
        [
            (MessageKind.RECORD, {"lane": "light"}),
            (MessageKind.SCALARS, {"seq": 1}),
            (MessageKind.FLUSH, {"lane": "light", "seq": 1}),
        ],
    )
    def test_cannot_be_read(self, kind: MessageKind, header: dict[str, object]) -> None:
        with pytest.raises(MalformedHeader):
            requests.read_position(unpack(pack(kind, 1, header), max_bytes=MIB))


class TestStatus:
    def test_fits_into_a_header_however_much_there_is_to_say(self) -> None:
        scattered = IntervalSet((2**62 + 3 * i, 2**62 + 3 * i) for i in range(2000))
        lanes = {lane: LaneState(scattered, scattered, dict.fromkeys(End, 2**62)) for lane in Lane}
        tags = {f"{i:03}" + "层" * 300: 2**40 for i in range(200)}
        troubles = tuple(replies.Trouble(2**60 + i, "层" * 1000) for i in range(20))
        welcome = replies.Welcome("i" * 16, True, "/" * 4096, Limits(), replies.Status(lanes, tags, troubles))
        read = replies.read_reply(unpack(welcome.frames(1), max_bytes=MIB))
        assert isinstance(read, replies.Welcome)
        assert read.status.lanes[Lane.PICTURE].settled.ranges() == scattered.ranges()[:256]
        assert read.status.dropped_tags.items() <= tags.items()
        assert read.status.dropped_tags
        assert [trouble.serial for trouble in read.status.troubles] == [2**60 + i for i in range(12, 20)]

    def test_of_a_refusal_with_a_long_text_can_be_read(self) -> None:
        refused = replies.Refused(Refusal.RUN_NAME, "x" * 10_000, 1)
        got = replies.read_reply(unpack(refused.frames(1), max_bytes=MIB))
        assert isinstance(got, replies.Refused)
        assert got.text == "x" * 4096


@given(st.binary(max_size=300), st.sampled_from(MessageKind))
def test_whatever_stands_in_a_header_is_read_or_refused(header: bytes, kind: MessageKind) -> None:
    frames = [PREFIX.pack(b"SDLG", MAJOR, MINOR, kind, 1), header]
    with contextlib.suppress(ProtocolError):
        envelope = unpack(frames, max_bytes=MIB)
        if kind < 64:
            requests.read_request(envelope, max_record_bytes=MIB)
        else:
            replies.read_reply(envelope)


def test_a_path_that_is_no_text_can_be_told_of() -> None:
    status = replies.Status(troubles=(replies.Trouble(1, "/runs/\udcff cannot be written"),))
    (state, refused, welcome) = (
        replies.read_reply(unpack(message.frames(1), max_bytes=MIB))
        for message in (
            replies.State(status),
            replies.Refused(Refusal.RUN_UNWRITABLE, "/runs/\udcff cannot be made", 1),
            replies.Welcome("i", True, "/runs/\udcff", Limits(), status),
        )
    )
    assert isinstance(state, replies.State)
    assert state.status.troubles[0].text == "/runs/? cannot be written"
    assert isinstance(refused, replies.Refused)
    assert refused.text == "/runs/? cannot be made"
    assert isinstance(welcome, replies.Welcome)
    assert welcome.logdir == "/runs/?"
