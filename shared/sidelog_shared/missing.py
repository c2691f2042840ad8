"""What of a worker's pictures a run does not hold: told by a client when it lets go of the run, counted by a daemon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sidelog_shared.errors import MalformedHeader
from sidelog_shared.header import HeaderReader
from sidelog_shared.limits import KIB

PRESSURE = "dropped in the training process"
"""For want of memory there, or because a CUDA graph was being captured."""
PRESSURE_IN_DAEMON = "dropped in the daemon"
OTHER_TAGS = ""
"""In place of a tag: the sum of those that are not listed."""

_MAX_ENTRIES = 256
_MAX_BYTES = 32 * KIB
_MAX_TAG_CHARACTERS = 1024
_MAX_CAUSE_CHARACTERS = 256
_UINT31 = 2**31 - 1
_UINT63 = 2**63 - 1

Counts = Mapping[tuple[int, str, str], int]
"""By run, tag and cause."""


@dataclass(frozen=True, slots=True)
class Missing:
    """So many pictures of one run and tag are not there, for one cause; ``tag`` may be :data:`OTHER_TAGS`."""

    run: int
    tag: str
    cause: str
    count: int


def listed(counts: Counts) -> tuple[Missing, ...]:
    """The largest counts, as many as a message holds; the others are summed by run and cause."""
    entries: list[Missing] = []
    others: Counter[tuple[int, str]] = Counter()
    size = 0
    for (run, tag, cause), count in sorted(counts.items(), key=lambda one: -one[1]):
        size += len(tag.encode()) + len(cause.encode()) + 24
        if len(entries) < _MAX_ENTRIES and size <= _MAX_BYTES:
            entries.append(Missing(run, tag, cause, count))
        else:
            others[run, cause] += count
    # Not Counter.most_common: it imports a module, and waits for whoever was interrupted in the middle of an import.
    most = sorted(others.items(), key=lambda one: -one[1])[:_MAX_ENTRIES]
    return (*entries, *(Missing(run, OTHER_TAGS, cause, count) for (run, cause), count in most))


def to_header(missing: tuple[Missing, ...]) -> dict[str, object]:
    """The optional field of CLOSE_RUN and BYE; nothing where nothing is missing."""
    return {"missing": [[one.run, one.tag, one.cause, one.count] for one in missing]} if missing else {}


def from_header(reader: HeaderReader) -> tuple[Missing, ...]:
    """Read it.

    Raises:
        MalformedHeader: it is there, and not what it must be.
    """
    found = []
    for item in reader.optional_items("missing", 2 * _MAX_ENTRIES):
        match item:
            case [int(run), str(tag), str(cause), int(count)] if (
                0 <= run <= _UINT31
                and len(tag) <= _MAX_TAG_CHARACTERS
                and len(cause) <= _MAX_CAUSE_CHARACTERS
                and 1 <= count <= _UINT63
            ):
                found.append(Missing(run, tag, cause, count))
            case _:
                raise MalformedHeader(f"missing holds {str(item)[:80]}, expected [run, tag, cause, count]")
    return tuple(found)
