"""What holds for the reception whatever clients send, in whatever order, over however many connections."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from receptions import Client, make_reception, picture, scalars, text

from sidelog_daemon.actions import Commit, Dropped, Rejected, Send, Settled
from sidelog_shared import replies, requests
from sidelog_shared.frames import MessageKind, pack, unpack
from sidelog_shared.limits import MIB
from sidelog_shared.records import End, Lane, Worker

LOGDIR = Path("/logdir")


@dataclass
class Life:
    """A worker that logs, whose connections break, and whose records the other threads finish in any order.

    Attributes:
        light: every reliable message so far, with its first and last number.
        sent: how many of them this epoch has sent.
        given: numbers that the writer and the renderer were given, by lane, in that order.
        open_work: those of them that are not finished.
    """

    client: Client
    light: list[tuple[requests.Request, int, int]] = field(default_factory=list)
    sent: int = 0
    pictures: int = 0
    delivered: set[int] = field(default_factory=set)
    given: dict[Lane, list[int]] = field(default_factory=lambda: {lane: [] for lane in Lane})
    open_work: list[tuple[Lane, int]] = field(default_factory=list)

    @property
    def last_light(self) -> int:
        return self.light[-1][2] if self.light else 0

    def collect(self) -> None:
        for lane, seqs in self.client.written_seqs().items():
            self.given[lane] += seqs
            self.open_work += [(lane, seq) for seq in seqs]

    def step(self, what: str, choice: int) -> None:
        first = self.last_light + 1
        match what:
            case "scalars":
                self.light.append((scalars(first, choice % 4 + 1), first, first + choice % 4))
            case "text":
                self.light.append((requests.RecordMessage(text(first)), first, first))
            case "send" if self.sent < len(self.light):
                self.client.say(self.light[self.sent][0])
                self.sent += 1
            case "send again" if self.sent:
                self.client.say(self.light[choice % self.sent][0])
            case "picture":
                self.pictures += 1
                self.delivered.add(self.pictures)
                self.client.send(picture(self.pictures))
            case "picture again" if self.delivered:
                self.client.send(picture(sorted(self.delivered)[choice % len(self.delivered)]))
            case "break":
                self.pictures += choice % 2  # one may have been lost on the way
                self.reconnect()
            case "finish" if self.open_work:
                self.finish(*self.open_work.pop(choice % len(self.open_work)), choice)
        self.collect()

    def reconnect(self) -> None:
        settled = self.client.state().lanes[Lane.LIGHT].settled
        self.sent = next(
            (i for i, (_, first, last) in enumerate(self.light) if settled.missing(first, last)), len(self.light)
        )
        light = self.light[self.sent][1] if self.sent < len(self.light) else self.last_light + 1
        peer = b"peer-%d" % (self.client.epoch + 1)
        self.client.reconnect(peer, light=light, picture=self.pictures + 1)
        self.client.open()

    def finish(self, lane: Lane, seq: int, choice: int) -> None:
        if lane is Lane.PICTURE and choice % 3 == 1:
            self.client.report(Dropped(self.client.id, picture(seq)))
        elif choice % 3 == 2:
            record = picture(seq) if lane is Lane.PICTURE else text(seq)
            self.client.report(Rejected(self.client.id, record, "no"))
        else:
            self.client.report(Settled(self.client.id, lane, ((seq, seq),)))

    def end(self) -> replies.Status:
        self.reconnect()
        while self.sent < len(self.light):
            self.step("send", 0)
        while self.open_work:
            self.step("finish", 0)
        self.client.heard.clear()
        self.client.say(requests.Bye())
        self.client.serve_runs()
        (goodbye,) = self.client.heard
        assert isinstance(goodbye, replies.Goodbye)
        return goodbye.status


STEPS = ["scalars", "text", "send", "send", "send again", "picture", "picture again", "break", "finish", "finish"]


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 50)), max_size=60))
def test_every_record_ends_exactly_once(steps: list[tuple[str, int]]) -> None:
    life = Life(Client(make_reception(LOGDIR)))
    life.client.hello()
    life.client.open()
    for what, choice in steps:
        life.step(what, choice)
    status = life.end()
    assert life.given[Lane.LIGHT] == list(range(1, life.last_light + 1))  # once, and in order
    assert sorted(life.given[Lane.PICTURE]) == sorted(life.delivered)
    assert sum(status.lanes[Lane.LIGHT].ends.values()) == life.last_light
    assert sum(status.lanes[Lane.PICTURE].ends.values()) == len(life.delivered)
    assert status.lanes[Lane.LIGHT].settled.through == life.last_light
    assert status.lanes[Lane.PICTURE].settled.through == life.pictures
    assert status.dropped_tags.get("map", 0) == status.lanes[Lane.PICTURE].ends[End.DROPPED]


def garbage() -> st.SearchStrategy[list[bytes]]:
    """From bare noise to messages that are nearly right."""
    leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
    values = st.recursive(
        leaves | st.text(max_size=5) | st.binary(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    )  # fmt: skip
    names = st.sampled_from(
        ["lane", "seq", "run", "kind", "tag", "step", "wall", "options", "buffers", "path", "count", "series",
         "buffer", "offset", "worker", "features", "next_seq"]
    )  # fmt: skip
    likely = st.sampled_from(["light", "picture", "map", 1, 2, 3, 0.5, [[24, [1], "frame", "raw"]], [[1, "loss"]]])
    headers = st.dictionaries(names, likely | values, max_size=12)
    messages = st.builds(
        lambda kind, epoch, header, buffers: [bytes(frame) for frame in pack(kind, epoch, header, buffers)],
        st.sampled_from(MessageKind),
        st.integers(0, 3),
        headers,
        st.lists(st.binary(max_size=16), max_size=5),
    )

    @st.composite
    def mutated(draw: st.DrawFn) -> list[bytes]:
        frames = draw(messages)
        index = draw(st.integers(0, len(frames) - 1))
        frame = bytearray(frames[index])
        if frame:
            frame[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
        return [*frames[:index], bytes(frame), *frames[index + 1 :]]

    return st.lists(st.binary(max_size=40), max_size=20) | messages | mutated()


@given(st.lists(garbage(), min_size=1, max_size=8), st.booleans())
@example([[bytes(frame) for frame in requests.Bye().frames(1)]], True)
def test_nothing_that_a_client_sends_raises_or_reaches_another_worker(
    messages: list[list[bytes]], from_a_stranger: bool
) -> None:
    reception = make_reception(LOGDIR)
    bystander = Client(reception, id="b" * 16, peer=b"bystander")
    bystander.hello()
    bystander.open()
    bystander.say(scalars(1, 3))
    before = bystander.state().to_map()
    bystander.asked.clear()
    client = Client(reception, peer=b"noise")
    if not from_a_stranger:
        client.hello()
        client.open()
        client.asked.clear()
    for frames in messages:
        actions = reception.feed(client.peer, frames, 0.0)
        for action in actions:
            if isinstance(action, Send):
                assert action.peer == client.peer
                assert replies.read_reply(unpack(action.frames, max_bytes=MIB)) is not None
            elif not isinstance(action, Commit):
                assert action.worker != bystander.id
    assert bystander.state().to_map() == before
    bystander.say(scalars(4, 1))
    assert bystander.written_seqs()[Lane.LIGHT] == [4]
    assert Worker("b" * 16, "host", 4711) in reception.workers
