"""What was logged against what stands: each reliable record once, each picture once or counted, nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from sidelog.statistics import NOT_KNOWN
from torture.content import LANES, Kept, Place, is_note, is_of, values
from torture.ledger import CLOSED, EXIT, KILLED, OS_EXIT, Account, Attempt
from torture.strict_reader import Value

LAST_S = 2.0
"""What a worker that is killed, or ended by ``os._exit``, may lose."""


@dataclass
class Verdict:
    """The sums and what is wrong.

    Attributes:
        logged: calls by kind.
        stands: of those, how many stand once, with their value.
        last_seconds: reliable records of a killed worker's last seconds that do not stand, by kind.
        os_exit: the same, of workers that were ended by ``os._exit``.
        deleted: records that stood in a folder when it was deleted.
        damaged: records in damaged messages of a spool.
        lost: reliable records that should stand and do not.
        doubles: values that stand more than once.
        strangers: values that nobody logged, or other ones than were logged.
        warned: workers whose close() said that not all was written yet.
        pictures: ``logged``, ``written``, ``dropped``, ``lost``, ``not known`` (of those lost: by their worker's
            word), ``deleted``, ``unknown`` (of workers that died without a word).
        violations: each of these, named.
    """

    logged: Counter[str] = field(default_factory=Counter)
    stands: Counter[str] = field(default_factory=Counter)
    last_seconds: Counter[str] = field(default_factory=Counter)
    os_exit: Counter[str] = field(default_factory=Counter)
    deleted: Counter[str] = field(default_factory=Counter)
    damaged: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubles: int = 0
    strangers: int = 0
    warned: int = 0
    pictures: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class Check:
    """Compares ledgers with what a strict reader found.

    Args:
        accounts: the ledgers of one site.
        found: all values below its log folder.
        deleted: what stood in folders that were deleted.
        damaged: worker -> records in damaged messages of its spool.
    """

    def __init__(
        self,
        accounts: Iterable[Account],
        found: Iterable[Value],
        *,
        deleted: set[Place] | None = None,
        damaged: dict[str, set[Kept]] | None = None,
    ) -> None:
        self._accounts = list(accounts)
        self._found: defaultdict[Place, list[Value]] = defaultdict(list)
        for value in found:
            self._found[value.place].append(value)
        self._deleted = deleted or set()
        self._damaged = damaged or {}
        self._losses: dict[str, list[str]] = {}
        self.verdict = Verdict()

    def run(self) -> Verdict:
        """Go through all of it."""
        known: set[Place] = set()
        for account in self._accounts:
            self._check_worker(account, known)
        for place, standing in self._found.items():
            if place not in known and not is_note(place):
                self.verdict.strangers += len(standing)
                self._violate(f"{_where(place)}: stands and was never logged: {_files(standing)}")
        return self.verdict

    def _check_worker(self, account: Account, known: set[Place]) -> None:
        self._losses.clear()
        pictures: Counter[str] = Counter()
        for attempt in account.attempts:
            places = values(account.run, account.worker, attempt.kind, attempt.number)
            known.update(places)
            self.verdict.logged[attempt.kind] += 1
            missing = [place for place, value in places.items() if not self._stands(account, attempt, place, value)]
            if not missing:
                self.verdict.stands[attempt.kind] += 1
                pictures["written"] += attempt.kind == "picture"
            elif all(place in self._deleted for place in missing):
                self.verdict.deleted[attempt.kind] += 1
                pictures["deleted"] += attempt.kind == "picture"
            elif attempt.kind != "picture":
                self._explain(account, attempt, missing)
        for texts in self._losses.values():
            more = f"; and {len(texts) - 1:,} more of this lane, the last of them {texts[-1]}" if len(texts) > 1 else ""
            self._violate(texts[0] + more)
        self._check_pictures(account, pictures)

    def _stands(self, account: Account, attempt: Attempt, place: Place, value: Hashable) -> bool:
        """Whether a value stands, at least once; that it does more often, or is another, is told here."""
        standing = self._found.get(place, [])
        name = f"{account.worker}, {LANES[attempt.kind]} lane, {attempt.kind} {attempt.number}"
        if len(standing) > 1:
            self.verdict.doubles += len(standing) - 1
            self._violate(f"{name}: stands {len(standing)} times at {_where(place)}: {_files(standing)}")
        for one in standing:
            if one.content != value:
                self.verdict.strangers += 1
                self._violate(
                    f"{name}: another value at {_where(place)}: got {one.content!r:.200}, expected {value!r:.200}: "
                    f"{_files([one])}"
                )
        return bool(standing)

    def _explain(self, account: Account, attempt: Attempt, missing: list[Place]) -> None:
        lane = LANES[attempt.kind]
        damaged = self._damaged.get(account.worker, set())
        is_late = attempt.at >= account.ended_at - LAST_S
        if any(is_of(kept, account.worker, attempt.kind, attempt.number) for kept in damaged):
            self.verdict.damaged[attempt.kind] += 1
        elif account.ended == KILLED and is_late:
            self.verdict.last_seconds[attempt.kind] += 1
        elif account.ended == OS_EXIT and is_late:
            self.verdict.os_exit[attempt.kind] += 1
        else:
            self.verdict.lost += 1
            how = account.ended or "no word of its end"
            self._losses.setdefault(lane, []).append(
                f"{account.worker}, {lane} lane, {attempt.kind} {attempt.number} (logged "
                f"at {attempt.at:.3f}{'' if attempt.returned else ', did not return'}): does not stand at "
                f"{', '.join(map(_where, missing))}; the worker ended at {account.ended_at:.3f} by {how}"
            )

    def _check_pictures(self, account: Account, pictures: Counter[str]) -> None:
        logged = sum(attempt.kind == "picture" for attempt in account.attempts)
        total = self.verdict.pictures
        total.update(pictures)
        total["logged"] += logged
        rest = logged - pictures["written"] - pictures["deleted"]
        if account.ended not in (CLOSED, EXIT):
            total["unknown"] += rest
            return
        if not account.report:
            self._violate(f"{account.worker}: ended by {account.ended} and said nothing of its records")
            return
        told = account.report["statistics"]
        total["dropped"] += told["dropped"]
        total["lost"] += told["lost"]
        # What stood in a folder that was deleted may have been settled before, or not; and of what a daemon had when
        # its worker's deadline passed, the worker says that it does not know.
        counted = told["dropped"] + told["lost"]
        total["not known"] += (not_known := told["lost_causes"].get(NOT_KNOWN, 0))
        if not rest <= counted <= rest + pictures["deleted"] + not_known:
            self._violate(
                f"{account.worker}: of {logged} pictures {pictures['written']} stand, {pictures['deleted']} stood in a "
                f"deleted folder, {counted} were told of as dropped or lost ({told}), expected {rest}"
            )
        for name in ("rejected", "pending"):
            if told[name]:
                self._violate(f"{account.worker}: {told[name]} records are {name} at its end: {told}")
        self.verdict.warned += bool(account.report["error"])
        if account.report["threads"]:
            self._violate(f"{account.worker}: threads are left: {account.report['threads']}")

    def _violate(self, text: str) -> None:
        self.verdict.violations.append(text)


def _where(place: Place) -> str:
    return f"{place.directory}, tag {place.tag}, step {place.step}"


def _files(standing: list[Value]) -> str:
    return ", ".join(f"{one.file} offset {one.offset}" for one in standing)
