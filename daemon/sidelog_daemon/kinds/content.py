"""What one record becomes on disk. Plain values, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from sidelog_daemon.sink.projector import ProjectorEntry


@dataclass(frozen=True, slots=True)
class Content:
    """A record, ready to be written.

    Attributes:
        events: serialized Events, in the order in which they are written; all of them or none stand.
        projector: an embedding, which stands in files of its own beside the event files.
        recipe: markdown that says how a picture was made, written once per tag; empty for none.
        warning: what its user should know of it; empty for nothing.
    """

    events: tuple[bytes, ...] = ()
    projector: ProjectorEntry | None = None
    recipe: str = ""
    warning: str = ""

    @property
    def nbytes(self) -> int:
        """How much it holds in memory."""
        return sum(map(len, self.events)) + (self.projector.nbytes if self.projector is not None else 0)
