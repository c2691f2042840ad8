"""What a client says of itself in HEARTBEAT: what waits there, what it dropped or lost, how old the oldest of it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidelog_shared.header import HeaderReader
from sidelog_shared.limits import KIB
from sidelog_shared.records import Lane

_UINT63 = 2**63 - 1
MAX_TAGS = 16
"""Tags in one list of drops: those with the most."""
_MAX_TAGS_BYTES = 12 * KIB
_MAX_CAUSES = 16


@dataclass(frozen=True, slots=True)
class Backlog:
    """Records that wait somewhere, and about how much memory or disk they take."""

    records: int = 0
    nbytes: int = 0

    def to_map(self) -> dict[str, object]:
        return {"records": self.records, "bytes": self.nbytes}

    @classmethod
    def read(cls, reader: HeaderReader) -> Backlog:
        return cls(reader.integer("records", 0, _UINT63), reader.integer("bytes", 0, _UINT63))

    def __add__(self, other: Backlog) -> Backlog:
        return Backlog(self.records + other.records, self.nbytes + other.nbytes)


NOTHING = Backlog()


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client's own account, as it was when it said so.

    Attributes:
        lanes: what was called and has not settled, by lane.
        spool: what of it lies in a file because no daemon took it.
        dropped: pictures dropped before any daemon had them.
        dropped_tags: of those, the tags with the most.
        lost: records that no event file holds, by cause.
        lag_s: age of the oldest record that has not settled; 0 where all have.
    """

    lanes: Mapping[Lane, Backlog] = field(default_factory=lambda: dict.fromkeys(Lane, NOTHING))
    spool: Backlog = NOTHING
    dropped: int = 0
    dropped_tags: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    lag_s: float = 0.0

    @property
    def waiting(self) -> Backlog:
        """All lanes together."""
        return sum(self.lanes.values(), Backlog())

    def to_map(self) -> dict[str, object]:
        return {
            "lanes": {lane.value: backlog.to_map() for lane, backlog in self.lanes.items()},
            "spool": self.spool.to_map(),
            "dropped": self.dropped,
            "dropped_tags": most(self.dropped_tags),
            "lost": most(self.lost, _MAX_CAUSES),
            "lag_s": round(self.lag_s, 3),
        }

    @classmethod
    def read(cls, reader: HeaderReader) -> ClientView:
        lanes = reader.reader("lanes")
        return cls(
            lanes={lane: Backlog.read(lanes.reader(lane.value)) for lane in Lane},
            spool=Backlog.read(reader.reader("spool")),
            dropped=reader.integer("dropped", 0, _UINT63),
            dropped_tags=reader.counts("dropped_tags", MAX_TAGS),
            lost=reader.counts("lost", _MAX_CAUSES),
            lag_s=reader.number("lag_s"),
        )


def most(counts: Mapping[str, int], limit: int = MAX_TAGS) -> dict[str, int]:
    """The names with the highest counts, those first; as many as ``limit``, and as fit into a part of a header."""
    chosen: dict[str, int] = {}
    size = 0
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        size += len(name.encode(errors="replace")) + 12
        if size > _MAX_TAGS_BYTES or len(chosen) == limit:
            break
        chosen[name] = count
    return chosen
