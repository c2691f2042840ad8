"""One torture from beginning to end: the faults as planned, the settling, the check, the outcome."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torture import tensorboard_readers
from torture.check import Check, Verdict
from torture.faults import FAULTS, NotDone
from torture.fleet import Site
from torture.ledger import KILLED, Account, read_ledger
from torture.plan import Planned, plan
from torture.scene import Scene
from torture.strict_reader import Reading, read_logdir


@dataclass
class Injected:
    """A fault that was done, or had nothing to be done to."""

    planned: Planned
    begun_s: float
    lasted_s: float
    said: str
    done: bool


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        seed: of the schedule.
        minutes: how long workers logged.
        hindrances: fault -> what this machine cannot do.
        injected: the faults, in the order in which they began.
        verdicts: by site.
        files: event files.
        bytes: their bytes.
        violations: all of them.
        folder: kept if there are any.
    """

    seed: int
    minutes: float
    hindrances: dict[str, str] = field(default_factory=dict)
    injected: list[Injected] = field(default_factory=list)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0
    violations: list[str] = field(default_factory=list)
    folder: str = ""

    @property
    def faults(self) -> Counter[str]:
        """How many were done, by name."""
        return Counter(one.planned.fault for one in self.injected if one.done)

    def total(self, name: str) -> Counter[str]:
        """A counter of all verdicts together."""
        total: Counter[str] = Counter()
        for verdict in self.verdicts.values():
            total.update(getattr(verdict, name))
        return total

    def to_map(self) -> dict[str, Any]:
        verdicts = {site: vars(verdict) for site, verdict in self.verdicts.items()}
        injected = [
            {
                **asdict(one.planned),
                "begun_s": one.begun_s,
                "lasted_s": one.lasted_s,
                "said": one.said,
                "done": one.done,
            }
            for one in self.injected
        ]
        return {**vars(self), "faults": self.faults, "verdicts": verdicts, "injected": injected}


class Torture:
    """Runs one.

    Args:
        minutes: how long workers log amid faults.
        seed: of the schedule.
        workers: how many log at once.
        faults: names; see ``faults.FAULTS``.
    """

    def __init__(self, *, minutes: float, seed: int, workers: int, faults: Sequence[str]) -> None:
        self._seconds = minutes * 60
        self._workers = workers
        self._faults = faults
        self.outcome = Outcome(seed, minutes)
        self._lock = threading.Lock()
        self._doing: dict[str, str] = {}
        self._begun = 0.0

    def run(self) -> Outcome:
        """All of it; a violation is in the outcome, not raised."""
        descriptors = _descriptors()
        scene = Scene(minutes=self._seconds / 60, workers=self._workers)
        self.outcome.folder = str(scene.folder)
        try:
            self._inject(scene)
            self._say("settling: daemons up, workers end, spools are replayed")
            scene.settle()
            scene.take_down()
            left = scene.left_behind()
            left += [f"descriptor {name}" for name in _descriptors() - descriptors]
            self.outcome.violations += [f"left behind: {one}" for one in left]
            self._check(scene)
        except BaseException:
            scene.kill_all()
            self.outcome.violations.append(f"the torture itself failed: {traceback.format_exc()}")
            if not isinstance(sys.exc_info()[1], Exception):
                raise
        self.outcome.violations[:0] = scene.notes.violations
        if self.outcome.violations:
            scene.unmount()
        else:
            scene.remove()
            self.outcome.folder = ""
        return self.outcome

    # Faults

    def _inject(self, scene: Scene) -> None:
        chosen = [FAULTS[name] for name in self._faults]
        self.outcome.hindrances = {kind.name: text for kind in chosen if (text := kind.hindrance(scene))}
        for name, text in self.outcome.hindrances.items():
            print(f"torture: {name}: {text}", flush=True)
        by_target: defaultdict[str, list[str]] = defaultdict(list)
        for kind in chosen:
            by_target[kind.target].append(kind.name)
        schedule = plan(self.outcome.seed, self._seconds, by_target)
        self._begun = time.monotonic()
        threads = [
            threading.Thread(
                target=self._torment,
                args=(scene, [planned for planned in schedule if planned.target == target]),
                name=f"torture-{target}",
            )
            for target in by_target
        ]
        for thread in threads:
            thread.start()
        try:
            while self._now() < self._seconds and scene.wait(1.0):
                self._show(scene)
        finally:
            scene.stopping.set()
            for thread in threads:
                thread.join()

    def _torment(self, scene: Scene, schedule: list[Planned]) -> None:
        """The faults of one target, one after the other."""
        for planned in schedule:
            if not scene.wait(max(0.0, planned.at_s - self._now())):
                return
            begun = self._now()
            self._doing[planned.target] = planned.fault
            done = True
            try:
                said = FAULTS[planned.fault]().inject(scene, random.Random(planned.seed))
            except NotDone as error:
                said, done = str(error), False
            except Exception:
                scene.notes.violations.append(f"{planned.fault} at {begun:.1f} s failed: {traceback.format_exc()}")
                said = "failed"
            with self._lock:
                lasted_s = round(self._now() - begun, 2)
                self.outcome.injected.append(Injected(planned, round(begun, 2), lasted_s, said, done))
            self._doing[planned.target] = ""

    def _now(self) -> float:
        return time.monotonic() - self._begun

    def _show(self, scene: Scene) -> None:
        doing = ", ".join(fault for fault in self._doing.values() if fault) or "-"
        self._say(f"{self._now():5.0f} of {self._seconds:.0f} s, {len(self.outcome.injected):3} faults, "
                  f"{len(scene.fleet.members())} workers, now: {doing}")  # fmt: skip

    def _say(self, text: str) -> None:
        if sys.stdout.isatty():
            print(f"\r\x1b[Ktorture: {text}", end="", flush=True)

    # The check

    def _check(self, scene: Scene) -> None:
        accounts: defaultdict[str, list[Account]] = defaultdict(list)
        for path in sorted(scene.fleet.ledgers.iterdir()):
            account = read_ledger(path)
            if account.worker in scene.fleet.killed:
                account.ended, account.ended_at = KILLED, scene.fleet.killed[account.worker]
            accounts[account.site].append(account)
        for site in (scene.tcp, scene.ipc):
            self._say(f"reading {site.name}")
            reading = read_logdir(site.logdir)
            self.outcome.files += reading.files
            self.outcome.bytes += reading.bytes
            deleted = scene.notes.deleted if site is scene.tcp else set()
            check = Check(accounts[site.name], reading.values, deleted=deleted, damaged=scene.notes.damaged)
            verdict = self.outcome.verdicts[site.name] = check.run()
            self.outcome.violations += [f"{site.name}: {text}" for text in [*reading.faults, *verdict.violations]]
            self._ask_tensorboard(site, reading)
        for name, code in scene.fleet.exit_codes.items():
            if code and name not in scene.fleet.killed:
                words = scene.fleet.words_of(name)
                self.outcome.violations.append(f"worker {name} ended with {code}: {words[-2000:]}")

    def _ask_tensorboard(self, site: Site, reading: Reading) -> None:
        """Both of TensorBoard's readers must show what the strict one found: no more, no less."""
        expected = tensorboard_readers.expected(reading.values)
        runs = {value.place.directory for value in reading.values}
        for reader, shown in (
            ("EventAccumulator", tensorboard_readers.by_python(site.logdir, runs)),
            ("the data server", tensorboard_readers.by_data_server(site.logdir, expected)),
        ):
            for what, difference in (("does not show", expected - shown), ("shows beyond", shown - expected)):
                if difference:
                    examples = ", ".join(f"{place} {content}" for place, content in list(difference)[:5])
                    self.outcome.violations.append(
                        f"{site.name}: {reader} {what} what stands: {difference.total():,} values, such as {examples}"
                    )


def _descriptors() -> set[str]:
    """Sockets and pipes of this process."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the listing's own
            continue
        if target.startswith(("socket:", "pipe:")):
            found.add(target)
    return found
