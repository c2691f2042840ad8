"""From a record to what stands on disk: one small module for each family of kinds, and one entry point.

Pure functions, safe in any number of threads at once: no sockets, no torch. Light kinds are made by the writer thread,
all others by the renderers'. Nothing that arrives from the wire is trusted: what cannot be written raises an error that
says what, got and expected, and ends that record alone.

    fields      buffers and options of a record, checked
    dispatch    which function makes which kind

The events are those of ``tensorboardX.SummaryWriter`` for the same call (``add_tensor``: torch's), by its own summary
functions where they are right; where they are not, the module says why.
"""

from sidelog_daemon.kinds.content import Content
from sidelog_daemon.kinds.dispatch import make_content

__all__ = ["Content", "make_content"]
