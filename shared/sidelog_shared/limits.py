"""Bounds that both sides keep, so that no message decides how much memory the other side takes."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB

MAX_HEADER_BYTES = 64 * KIB
MAX_FRAMES = 18
"""Frame 0, the header and at most 16 buffers."""
MAX_BUFFERS = 16
MAX_NDIM = 8
MAX_TAG_BYTES = 1024
MAX_RUN_NAME_BYTES = 4096
PART_BYTES = 1 * MIB
"""Records with more bytes than this travel as parts, between which other records may come."""
MAX_FRAME_BYTES = 4 * MIB
"""What a daemon lets ZeroMQ allocate for one frame (ZMQ_MAXMSGSIZE); generous against PART_BYTES."""
MAX_PICTURE_RANGES = 1024
"""How many finished ranges of pictures a marker keeps per worker and run directory; also bounds how many
pictures a client may have sent and not yet seen settled."""

STEP_MIN = -(2**63) + 2
STEP_MAX = 2**63 - 1
STEP_NONE = -(2**63)
"""How a missing step is written in a column of steps."""
STEP_NEXT = -(2**63) + 1
"""In place of a step: the next of this run, kind and tag, which the daemon counts from 0."""
MAX_DOCUMENT_BYTES = 256 * MIB
"""Structured values too long for a header (labels of an embedding), as msgpack in a buffer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a daemon grants to one worker; said in WELCOME.

    Attributes:
        max_record_bytes: the largest sum of a record's buffers.
        session_budget_bytes: how many bytes of one worker's tensors the daemon holds before it drops pictures.
    """

    max_record_bytes: int = 512 * MIB
    session_budget_bytes: int = 512 * MIB

    def __post_init__(self) -> None:
        for name in ("max_record_bytes", "session_budget_bytes"):
            value = getattr(self, name)
            if value < MIB:
                raise ValueError(f"limits.{name} is {value}, expected at least {MIB} bytes")
