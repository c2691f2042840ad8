"""The writing end of the daemon: run directories, their event files, and the marker by which a record stands once."""

from __future__ import annotations

from sidelog_daemon.sink.event_file import CommitError
from sidelog_daemon.sink.run_directory import RunDirectory

__all__ = ["CommitError", "RunDirectory"]
