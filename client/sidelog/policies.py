"""What a user has said of pictures and histograms by their tags: how many to log, and whether any may be dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import count

from sidelog_shared.errors import ConfigError

MAX_TAGS = 100_000
"""So many tags are remembered; then all are looked up anew, and counted from their next call on."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for a tag.

    Attributes:
        keep_all: none is dropped: they are kept until they are written, like audio.
        every: of so many calls the first is logged.
    """

    keep_all: bool = False
    every: int = 1


class Policies:
    """Of one writer. What was said last counts first. Without a lock: a child may be forked in the middle of a call.

    Attributes:
        exist: whether anything was said.
    """

    def __init__(self) -> None:
        self.exist = False
        self._rules: tuple[tuple[str, Policy], ...] = ()
        self._of_tags: dict[str, Policy] = {}
        self._calls: dict[str, Iterator[int]] = {}

    def add(self, pattern: str, keep: str, every: int) -> None:
        """See :meth:`sidelog.SummaryWriter.policy`."""
        if not isinstance(pattern, str) or not pattern:
            raise ConfigError(f"policy pattern is {pattern!r}, expected a tag or a pattern such as 'layer*'")
        if keep not in ("latest", "all"):
            raise ConfigError(f"policy keep is {keep!r}, expected 'latest' or 'all'")
        if type(every) is not int or every < 1:
            raise ConfigError(f"policy every is {every!r}, expected an integer of at least 1")
        self._rules = ((pattern, Policy(keep == "all", every)), *self._rules)
        self._of_tags = {}
        self.exist = True

    def of(self, tag: str) -> Policy:
        try:
            return self._of_tags[tag]
        except (KeyError, TypeError):
            return self._look_up(str(tag))

    def admits(self, tag: str) -> bool:
        """Whether this call of a tag is to be logged; counts it."""
        every = self.of(tag).every
        if every == 1:
            return True
        calls = self._calls.get(tag) or self._calls.setdefault(tag, count())
        return next(calls) % every == 0

    def _look_up(self, tag: str) -> Policy:
        of_tags = self._of_tags  # that of the rules as they are now: who adds one begins another
        if len(of_tags) >= MAX_TAGS:
            of_tags.clear()
            self._calls = {}
        found = next((policy for pattern, policy in self._rules if fnmatchcase(tag, pattern)), Policy())
        of_tags[tag] = found
        return found
