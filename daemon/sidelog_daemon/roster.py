"""What log lines call a worker and a run: the worker's label and the run's path, by their ids.

The receiver thread writes it; every thread reads it. Each access is one operation on a dict.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidelog_shared.records import Worker

_MAX_LABELS = 8
"""Workers that one log line names."""


class Roster:
    """The workers that the daemon knows, and the runs that they asked for."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._paths: dict[str, dict[int, str]] = {}

    def add(self, worker: Worker) -> None:
        self._labels[worker.id] = worker.label
        self._paths.setdefault(worker.id, {})

    def open_run(self, worker_id: str, run: int, path: str) -> None:
        self._paths.setdefault(worker_id, {})[run] = path

    def close_run(self, worker_id: str, run: int) -> None:
        self._paths.get(worker_id, {}).pop(run, None)

    def remove(self, worker_id: str) -> None:
        """Forget a worker and its runs."""
        self._labels.pop(worker_id, None)
        self._paths.pop(worker_id, None)

    def label(self, worker_id: str) -> str:
        """What people call a worker; its id where nobody knows it any more."""
        return self._labels.get(worker_id, worker_id)

    def labels(self, worker_ids: Iterable[str]) -> str:
        """Whom a log line is about."""
        labels = sorted(map(self.label, worker_ids))
        more = f" and {len(labels) - _MAX_LABELS} others" if len(labels) > _MAX_LABELS else ""
        return ", ".join(labels[:_MAX_LABELS]) + more or "nobody"

    def path(self, worker_id: str, run: int) -> str:
        """Where a run is, as its worker asked for it; its number where nobody knows it any more."""
        return self._paths.get(worker_id, {}).get(run, f"run {run}")

    def place(self, worker_id: str, run: int) -> str:
        """Both, for a log line about a record."""
        return f"{self.label(worker_id)}, {self.path(worker_id, run)}"
