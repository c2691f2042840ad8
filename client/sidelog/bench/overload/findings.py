"""What one overload shows: figures with their goals, what is wrong with the counts, a table by tag."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sidelog.bench.figures import Figure
from sidelog.bench.memory import second_half_growth
from sidelog.bench.overload.load import MAPS, SCALARS
from sidelog.bench.overload.watch import Seen
from sidelog.bench.pairs import percentile
from sidelog_shared.limits import MIB

FLAT_MIB = 20.0
"""Growth in the second half: a leak of 200 bytes for each picture that comes would be more in five minutes."""
SCALAR_GOAL_S = 1.0
"""The daemon writes half a second after a record came, at the latest; the client sends within 50 ms."""
OVERLOAD = 10.0


@dataclass(frozen=True, slots=True)
class TagCount:
    """What became of the pictures of one tag, of all workers."""

    tag: str
    logged: int
    written: int
    dropped_by_client: int
    dropped_by_daemon: int


@dataclass(slots=True)
class Findings:
    """One run of the bench.

    Attributes:
        budget_mb: the bound.
        workers: how many logged.
        render_ms: by so much each picture took longer to draw.
        alone_per_s: pictures that the daemon draws of one worker, without that.
        drawn_per_s: the same with it: what the pace is ten times of.
        steps_per_s: pace of each worker.
        seen: what was seen.
    """

    budget_mb: int
    workers: int
    render_ms: float
    alone_per_s: float
    drawn_per_s: float
    steps_per_s: float
    seen: Seen

    @property
    def logged_s(self) -> float:
        return self.seen.samples[-1].at_s if self.seen.samples else 0.0

    @property
    def tags(self) -> list[TagCount]:
        steps = sum(self.seen.steps)
        found = []
        for tag in MAPS:
            written = sum(counts.get(tag, 0) for counts in self.seen.counts)
            dropped = sum(_map_of(end["dropped_tags"]).get(tag, 0) for end in self.seen.ends)
            by_daemon = self.seen.daemon_drops.get(tag, 0)
            found.append(TagCount(tag, steps, written, dropped - by_daemon, by_daemon))
        return found

    @property
    def totals(self) -> TagCount:
        tags = self.tags
        return TagCount(
            "all", sum(one.logged for one in tags), sum(one.written for one in tags),
            sum(one.dropped_by_client for one in tags), sum(one.dropped_by_daemon for one in tags),
        )  # fmt: skip

    @property
    def newest_in_file(self) -> tuple[int, int]:
        """Of how many tags the last picture that was logged stands last in the file, and of how many in all."""
        right = sum(
            last.get(tag) == steps - 1
            for steps, last in zip(self.seen.steps, self.seen.last_steps, strict=True)
            for tag in MAPS
        )
        return right, len(MAPS) * len(self.seen.steps)

    @property
    def objections(self) -> list[str]:
        """What is wrong; empty when every record was counted and each tag's newest picture stands in its file."""
        found = []
        for one in (*self.tags, self.totals):
            ended = one.written + one.dropped_by_client + one.dropped_by_daemon
            if ended != one.logged:
                found.append(f"{one.tag}: {ended:,} of {one.logged:,} pictures were written or counted as dropped")
        for number, (steps, counts) in enumerate(zip(self.seen.steps, self.seen.counts, strict=True)):
            found += [
                f"worker {number}: {counts.get(tag, 0):,} of {steps:,} scalars {tag!r} are in the event files"
                for tag in SCALARS
                if counts.get(tag, 0) != steps
            ]
        for end in self.seen.ends:
            found += [
                f"{end[name]:,} records {name}" for name in ("lost", "rejected", "pending", "spooled") if end[name]
            ]
        right, of = self.newest_in_file
        if right != of:
            found.append(f"of {of - right} of {of} tags the last picture in the file is not the last that was logged")
        return found

    @property
    def figures(self) -> list[Figure]:
        seen, that = self.seen, tuple(self.objections)
        rss = [sample.rss_bytes / MIB for sample in seen.samples]
        figures = [
            Figure("memory", "resident memory of the daemon, highest", "MiB", seen.peak_bytes / MIB,
                   goal=float(self.budget_mb)),
            Figure("memory", "its growth in the second half", "MiB", second_half_growth(rss), goal=FLAT_MIB),
        ]  # fmt: skip
        if seen.scalar_age_s:
            figures += [
                Figure("scalars", f"from call to event file, {name}", "s", percentile(seen.scalar_age_s, which),
                       goal=SCALAR_GOAL_S if which == 99 else None, objections=that)
                for name, which in (("p50", 50), ("p99", 99), ("max", 100))
            ]  # fmt: skip
        if seen.picture_age_s:
            figures += [
                Figure("pictures", f"from call to event file, {name}", "s", percentile(seen.picture_age_s, which),
                       objections=that)
                for name, which in (("p50", 50), ("p99", 99), ("max", 100))
            ]  # fmt: skip
        return figures

    def per_s(self, count: int) -> float:
        """A count of the whole run as a rate over the time in which was logged."""
        return count / self.logged_s if self.logged_s else 0.0

    @property
    def rates(self) -> dict[str, float]:
        """Pictures a second while the workers logged; what was written and dropped afterwards is not in it."""
        if not self.seen.samples:
            return {}
        names = ("logged", "arrived", "written", "dropped_by_client", "dropped_by_daemon")
        return {name: self.per_s(getattr(self.seen.samples[-1], name)) for name in names}

    @property
    def overload(self) -> float:
        """Pictures that came to the daemon, for each that it drew meanwhile."""
        found = self.rates
        return found["arrived"] / found["written"] if found.get("written") else 0.0

    def to_map(self) -> dict[str, object]:
        seen = asdict(self.seen)
        return {
            "budget_mb": self.budget_mb, "workers": self.workers, "render_ms": self.render_ms,
            "alone_per_s": self.alone_per_s, "drawn_per_s": self.drawn_per_s, "steps_per_s": self.steps_per_s,
            "objections": self.objections, "rates": self.rates, "overload": self.overload,
            "newest_in_file": self.newest_in_file, "tags": [asdict(one) for one in (*self.tags, self.totals)],
            "figures": [one.to_map() for one in self.figures], "seen": seen,
        }  # fmt: skip


def _map_of(value: object) -> dict[str, int]:
    return value if isinstance(value, dict) else {}
