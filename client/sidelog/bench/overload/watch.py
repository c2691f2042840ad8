"""Overload as it is seen from outside: the daemon's memory and counts as samples, the event files as they grow."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from sidelog.bench.overload.load import MAPS, SCALARS
from sidelog.bench.overload.rig import Rig, words_of
from sidelog.inquiry import Found, ask
from sidelog_shared.limits import KIB
from sidelog_shared.report import DaemonReport

SAMPLE_S = 0.5
POLL_S = 0.02
"""How often the event files are looked at: by so much at most a latency is too long."""
ANSWER_S = 0.25


@dataclass(frozen=True, slots=True)
class Sample:
    """How things stand at one moment; counts are of pictures, since the beginning.

    Attributes:
        at_s: seconds since the workers began.
        rss_bytes: the daemon's resident memory.
        queue_bytes: what waits for its renderers.
        queue_records: the same, in records.
        logged: calls.
        arrived: pictures that came to the daemon. Taken from the records that came, less the scalars that were called:
            those still under way are missing here for a moment.
        written: pictures in the event files.
        dropped_by_client: before the daemon had them.
        dropped_by_daemon: after.
    """

    at_s: float
    rss_bytes: int
    queue_bytes: int
    queue_records: int
    logged: int
    arrived: int
    written: int
    dropped_by_client: int
    dropped_by_daemon: int


@dataclass(slots=True)
class Seen:
    """Everything that was seen of one overload.

    Attributes:
        samples: while the workers logged.
        settle_s: from their last call until everything had reached its end.
        picture_age_s: from the call of each picture until it was seen in its event file.
        scalar_age_s: the same of each scalar that was called and seen while the workers logged.
        steps: that each worker logged.
        ends: what each worker says of its records, in the end.
        daemon_drops: pictures that the daemon dropped, by tag, of all workers.
        counts: values in the event files of each worker, by tag.
        last_steps: of the last one of each tag.
        peak_bytes: the highest resident memory, as the system kept it (Linux), else as the samples saw it.
    """

    samples: list[Sample] = field(default_factory=list)
    settle_s: float = 0.0
    picture_age_s: list[float] = field(default_factory=list)
    scalar_age_s: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    ends: list[Mapping[str, object]] = field(default_factory=list)
    daemon_drops: dict[str, int] = field(default_factory=dict)
    counts: list[Mapping[str, int]] = field(default_factory=list)
    last_steps: list[Mapping[str, int]] = field(default_factory=list)
    peak_bytes: int = 0

    def hear(self, tag: str, wall_time: float, *, logging: bool) -> None:
        """A value was seen in an event file."""
        age_s = time.time() - wall_time
        if tag in MAPS:
            self.picture_age_s.append(age_s)
        elif tag in SCALARS and logging:
            self.scalar_age_s.append(age_s)


class Watch:
    """Lets the workers of a rig log, and looks.

    Args:
        progress: told how far it is.
    """

    def __init__(self, progress: Callable[[str], None] = lambda _: None) -> None:
        self._progress = progress
        self._logging = True
        self._report: DaemonReport | None = None
        self.seen = Seen()

    def told(self, tag: str, _: int, wall_time: float) -> None:
        """For the rig's event files."""
        self.seen.hear(tag, wall_time, logging=self._logging)

    def run(self, rig: Rig, *, steps_per_s: float, seconds: float, what: str) -> Seen:
        """Until everything that was logged has reached its end.

        Args:
            rig: whose workers are ready.
            steps_per_s: pace of each.
            seconds: so long they log.
            what: this is, for people.
        """
        daemon = psutil.Process(rig.daemon.pid)
        begun = time.monotonic()
        rig.begin(steps_per_s, seconds)
        logging, settling = list(rig.loaders), list(rig.loaders)
        logged_until, sample_at = begun, begun
        while settling:
            now = time.monotonic()
            for tail in rig.tails:
                tail.poll()
            if now >= sample_at:
                sample_at = now + SAMPLE_S
                self._sample(rig, daemon, now - begun)
                left = f"{now - begun:.0f} of {seconds:.0f} s" if logging else f"settles, {now - logged_until:.0f} s"
                self._progress(f"{what}: {left}")
            for one in [one for one in settling if one.has_said]:
                words = words_of(one.listen())
                if one in logging:
                    logging.remove(one)
                    self._logging = bool(logging)
                    logged_until = now
                else:
                    settling.remove(one)
                    self.seen.ends.append(words)
            time.sleep(max(0.0, POLL_S - (time.monotonic() - now)))
        self.seen.settle_s = time.monotonic() - logged_until
        self._look_at_the_end(rig)
        rig.goodbye()
        return self.seen

    def _ask(self, rig: Rig) -> DaemonReport | None:
        (answer,) = ask([Found(rig.daemon.endpoint)], deadline_s=ANSWER_S)
        if answer.report is not None:
            self._report = answer.report
        return self._report

    def _sample(self, rig: Rig, daemon: psutil.Process, at_s: float) -> None:
        rss_bytes = daemon.memory_info().rss
        self.seen.peak_bytes = max(self.seen.peak_bytes, rss_bytes, _highest_bytes(daemon.pid))
        report = self._ask(rig)
        if not self._logging or report is None:
            return
        steps = sum(one.steps for one in rig.loaders)
        received = sum(one.received_records for one in report.workers)
        self.seen.samples.append(Sample(
            at_s=at_s,
            rss_bytes=rss_bytes,
            queue_bytes=report.render.nbytes,
            queue_records=report.render.records,
            logged=steps * len(MAPS),
            arrived=max(0, received - steps * len(SCALARS) - len(rig.loaders)),
            written=sum(tail.counts[tag] for tail in rig.tails for tag in MAPS),
            dropped_by_client=sum(one.client.dropped for one in report.workers if one.client is not None),
            dropped_by_daemon=sum(sum(one.dropped_tags.values()) for one in report.workers),
        ))  # fmt: skip

    def _look_at_the_end(self, rig: Rig) -> None:
        report = self._ask(rig)
        drops: Counter[str] = Counter()
        for worker in report.workers if report is not None else ():
            drops.update(worker.dropped_tags)
        self.seen.daemon_drops = dict(drops)
        for tail in rig.tails:
            tail.poll()
        self.seen.steps = [one.steps for one in rig.loaders]
        self.seen.counts = [dict(tail.counts) for tail in rig.tails]
        self.seen.last_steps = [dict(tail.last_step) for tail in rig.tails]


def _highest_bytes(pid: int) -> int:
    """A process's highest resident memory so far; 0 where the system does not keep it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * KIB for line in lines if line.startswith("VmHWM:")), 0)


def rates(samples: Sequence[Sample], name: str, *, over_s: float = 0.0) -> list[tuple[float, float]]:
    """``(seconds, per second)`` of a count.

    Args:
        samples: in their order.
        name: of the count.
        over_s: at least so long each rate is taken over.
    """
    found = []
    first = 0
    for last, sample in enumerate(samples):
        passed_s = sample.at_s - samples[first].at_s
        if passed_s > 0 and passed_s >= over_s:
            grown = getattr(sample, name) - getattr(samples[first], name)
            found.append(((sample.at_s + samples[first].at_s) / 2, grown / passed_s))
            first = last
    return found
