"""Embeddings in a run directory: their files, and ``projector_config.pbtxt``, which lists them for TensorBoard.

Used by the writer thread of a run directory alone. Every file is written beside its place and renamed into it: a
reader sees the old one or the new one. What was written before is written again without a trace, so a record that
is sent again after a crash stands once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sidelog_daemon.sink.event_file import Write, commit_error, write_all

CONFIG_NAME = "projector_config.pbtxt"
"""TensorBoard's name for it (its plugins/projector/metadata.py)."""
_SPARE_NAME = ".sidelog.projector.new"


@dataclass(frozen=True, slots=True)
class ProjectorEntry:
    """One embedding.

    Attributes:
        folder: where its files go, below the run directory; its parts are names of folders and never ``..``.
        files: their content by name.
        block: the ``embeddings {...}`` that lists them.
        nbytes: how much it holds in memory.
    """

    folder: str
    files: Mapping[str, bytes]
    block: bytes
    nbytes: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nbytes", len(self.block) + sum(map(len, self.files.values())))


class ProjectorFiles:
    """What waits to be written for the projector of one run directory.

    Args:
        directory: the run directory.
        write: stands for ``os.write``.
    """

    def __init__(self, directory: Path, *, write: Write = os.write) -> None:
        self._directory = directory
        self._write = write
        self._waiting: list[ProjectorEntry] = []

    @property
    def pending_bytes(self) -> int:
        return sum(entry.nbytes for entry in self._waiting)

    def add(self, entry: ProjectorEntry) -> None:
        self._waiting.append(entry)

    def commit(self) -> None:
        """Write what waits, in the order of the calls.

        Raises:
            CommitError: what is not written yet still waits.
        """
        while self._waiting:
            entry = self._waiting[0]
            try:
                self._write_entry(entry)
            except OSError as error:
                raise commit_error(self._directory / entry.folder, error) from error
            del self._waiting[0]

    def drop(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

    def _write_entry(self, entry: ProjectorEntry) -> None:
        folder = self._directory
        for name in entry.folder.split("/"):
            folder /= name
            folder.mkdir(exist_ok=True)  # not its parents: the run directory has a lock, and is made with it
        for name, content in entry.files.items():
            self._replace(folder / name, content)
        config = self._directory / CONFIG_NAME
        listed = config.read_bytes() if config.exists() else b""
        if entry.block not in listed:
            separator = b"\n" if listed and not listed.endswith(b"\n") else b""
            self._replace(config, listed + separator + entry.block)

    def _replace(self, path: Path, content: bytes) -> None:
        spare = self._directory / _SPARE_NAME
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(spare, flags, 0o666)
        try:
            write_all(self._write, fd, memoryview(content))
        finally:
            os.close(fd)
        os.rename(spare, path)
