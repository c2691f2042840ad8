"""What a worker has attempted, and what of it returned; written call by call, so that it outlives SIGKILL."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KILLED, OS_EXIT, EXIT, CLOSED = "killed", "os._exit", "exit", "close"
"""How a worker may end."""


class Ledger:
    """A worker's own file. Each line is one ``write`` to a file opened for appending.

    Args:
        path: the file; made.
        worker: the worker's name.
        run: its run, relative to the log folder.
        site: whose log folder that is.
    """

    def __init__(self, path: Path, *, worker: str, run: str, site: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._write("worker", worker, run, site, os.getpid())

    def before(self, kind: str, number: int) -> None:
        """A call begins."""
        self._write("before", kind, number, time.time())

    def after(self, kind: str, number: int) -> None:
        """It returned."""
        self._write("after", kind, number)

    def end(self, how: str) -> None:
        """The worker is about to end."""
        self._write("end", how, time.time())

    def report(self, facts: dict[str, Any]) -> None:
        """What the worker knows at its end: statistics, what is left of threads and sockets."""
        self._write("report", facts)

    def close(self) -> None:
        """Let go of the file, as a forked child does with its parent's."""
        os.close(self._fd)

    def _write(self, *fields: Any) -> None:
        os.write(self._fd, json.dumps(fields).encode() + b"\n")


@dataclass
class Attempt:
    """One call.

    Attributes:
        kind: see ``content.LANES``.
        number: its number among its kind.
        at: when it began, seconds since the epoch.
        returned: whether it came back.
    """

    kind: str
    number: int
    at: float
    returned: bool = False


@dataclass
class Account:
    """A ledger that was read.

    Attributes:
        worker: the worker's name.
        run: its run.
        site: whose log folder that is in.
        pid: its process.
        attempts: in order.
        ended: how, or nothing if it did not come to say so.
        ended_at: when.
        report: its own last words.
    """

    worker: str
    run: str
    site: str
    pid: int
    attempts: list[Attempt] = field(default_factory=list)
    ended: str = ""
    ended_at: float = 0.0
    report: dict[str, Any] = field(default_factory=dict)


def read_ledger(path: Path) -> Account:
    """Read a worker's file; a last line that is cut off is passed over."""
    account: Account | None = None
    open_calls: dict[tuple[str, int], Attempt] = {}
    for line in path.read_bytes().split(b"\n")[:-1]:
        what, *fields = json.loads(line)
        if account is None:
            account = Account(*fields)
        elif what == "before":
            attempt = open_calls[fields[0], fields[1]] = Attempt(*fields)
            account.attempts.append(attempt)
        elif what == "after":
            open_calls.pop((fields[0], fields[1])).returned = True
        elif what == "end":
            account.ended, account.ended_at = fields
        elif what == "report":
            account.report = fields[0]
    if account is None:
        raise ValueError(f"{path} is empty, expected the worker's name in its first line")
    return account
