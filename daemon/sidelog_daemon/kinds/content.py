"""What one record becomes on disk. Plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidelog_daemon.sink.projector import ProjectorEntry


@dataclass(frozen=True, slots=True)
class Content:
    """A record, ready to be written.

    Attributes:
        events: serialized Events, in the order in which they are written; all of them or none stand.
        projector: an embedding, which stands in files of its own beside the event files.
        recipe: how a picture was made, in JSON's types, which is written once per tag; empty for nothing.
        warning: what its user should know of it; empty for nothing.
    """

    events: tuple[bytes, ...] = ()
    projector: ProjectorEntry | None = None
    recipe: Mapping[str, object] = field(default_factory=dict)
    warning: str = ""

    @property
    def nbytes(self) -> int:
        """How much it holds in memory."""
        return sum(map(len, self.events)) + (self.projector.nbytes if self.projector is not None else 0)
