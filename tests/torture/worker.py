"""The program of one worker: logs numbered records of all kinds until it is told how to end.

    python -m torture.worker NAME RUN LEDGERS SECONDS_BETWEEN [ENDPOINT]

It is told by lines on its standard input: ``fork``, ``exit``, ``os._exit``, ``close``.
"""

from __future__ import annotations

import atexit
import os
import select
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torture import content
from torture.ledger import CLOSED, EXIT, OS_EXIT, Ledger

FORK_S = 1.5
"""How long a forked child logs."""
REOPEN_EVERY = 31
"""So many records beside the run until that one is closed and opened again."""
FLUSH_EVERY = 7
"""So many records beside the run to a flush of the run: it waits for the run alone."""


class Worker:
    """Logs under one name, and keeps the ledger.

    Args:
        writer: a ``SummaryWriter``, which a child inherits from its parent.
        side: the same, for the run beside it (``content.SIDE``).
        name: the worker's name.
        run: its run.
        ledgers: folder of the ledgers.
        pause_s: between two calls.
    """

    def __init__(self, writer: Any, side: Any, name: str, run: str, ledgers: Path, pause_s: float) -> None:
        self.writer = writer
        self.side = side
        self.name = name
        self._run = run
        self._ledgers = ledgers
        self._pause_s = pause_s
        self.ledger = Ledger(ledgers / f"{name}.ledger", worker=name, run=run, site=os.environ["TORTURE_SITE"])
        self._numbers: Counter[str] = Counter()
        self._kinds = _kinds()
        self._children = 0
        self.failed_flushes = 0
        self.failed_closes = 0

    def log_one(self) -> None:
        kind = next(self._kinds)
        self._numbers[kind] += 1
        number = self._numbers[kind]
        self.ledger.before(kind, number)
        content.log(self.side if kind == content.SIDE else self.writer, self.name, kind, number)
        self.ledger.after(kind, number)
        if kind == content.SIDE and number % FLUSH_EVERY == 0:
            self.flush()
        if kind == content.SIDE and number % REOPEN_EVERY == 0:
            self.reopen()

    def flush(self) -> None:
        """As frameworks do; what it raises amid faults concerns who wants to know."""
        import sidelog

        try:
            self.writer.flush()
        except sidelog.SidelogError:
            self.failed_flushes += 1

    def reopen(self) -> None:
        """Close the run beside the own one, whatever waits for it; the next call opens it again."""
        import sidelog

        try:
            self.side.close(timeout_s=0.5)
        except sidelog.SidelogError:
            self.failed_closes += 1

    def fork(self) -> None:
        """A child that logs too, and ends by itself."""
        self._children += 1
        if os.fork():
            return
        status = 1
        try:
            self.ledger.close()
            name = f"{self.name}f{self._children}"
            child = Worker(self.writer, self.side, name, self._run, self._ledgers, self._pause_s)
            until = time.monotonic() + FORK_S
            while time.monotonic() < until:
                child.log_one()
                time.sleep(self._pause_s)
            child.close()
            status = 0
        finally:
            os._exit(status)

    def close(self) -> None:
        """With what close() had to say, where it could not wait any longer: the spool has the rest."""
        import sidelog

        self.ledger.end(CLOSED)
        errors = []
        for writer in (self.side, self.writer):
            try:
                writer.close()
            except sidelog.SidelogError as error:
                errors.append(str(error))
        self.report("; ".join(errors))

    def report(self, error: str = "") -> None:
        threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("sidelog-")]
        self.ledger.report({"statistics": asdict(self.writer.statistics()), "threads": threads, "error": error,
                            "failed_flushes": self.failed_flushes, "failed_closes": self.failed_closes})  # fmt: skip


def _kinds() -> Iterator[str]:
    """Sixteen scalars, in the run and beside it, to two texts, two pictures and a clip; hyperparameters seldom: each
    makes a folder of its own."""
    media = 0
    while True:
        for turn in range(30):
            yield from ("scalar", "scalar", content.SIDE, "scalar", "scalar", content.SIDE, "scalar", content.SIDE) * 2
            yield from ("text", "picture", "text", "picture")
            yield content.MEDIA[media % len(content.MEDIA)]
            media += 1
            if turn == 5:
                yield "hparams"


def main(arguments: list[str]) -> None:
    name, run, ledgers, pause = arguments[:4]
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork beside threads
    report_at_exit: list[Worker] = []
    # Registered before sidelog's own: it runs after it, and says what became of the records.
    atexit.register(lambda: [worker.report() for worker in report_at_exit])
    import sidelog

    base = os.environ["TORTURE_LOGDIR"]
    endpoint = arguments[4] if len(arguments) > 4 else None
    folder = run if endpoint else os.path.join(base, run)
    writer, side = (sidelog.SummaryWriter(one, endpoint=endpoint) for one in (folder, f"{folder}/{content.SIDE}"))
    worker = Worker(writer, side, name, run, Path(ledgers), float(pause))
    said = b""
    while True:
        worker.log_one()
        if not select.select([0], [], [], float(pause))[0]:
            continue
        piece = os.read(0, 4096)
        said += piece or b"close\n"  # the torture is gone
        *lines, said = said.split(b"\n")
        for line in lines:
            match line.decode():
                case "fork":
                    worker.fork()
                case "os._exit":
                    worker.ledger.end(OS_EXIT)
                    os._exit(0)
                case "exit":
                    worker.ledger.end(EXIT)
                    report_at_exit.append(worker)
                    return
                case "close":
                    worker.close()
                    return


if __name__ == "__main__":
    main(sys.argv[1:])
