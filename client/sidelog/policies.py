"""What a user has said of pictures and histograms by their tags: how many to log, and whether any may be dropped."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase

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
    """Of one writer. What was said last counts first.

    Attributes:
        exist: whether anything was said.
    """

    def __init__(self) -> None:
        self.exist = False
        self._rules: list[tuple[str, Policy]] = []
        self._of_tags: dict[str, Policy] = {}
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, pattern: str, keep: str, every: int) -> None:
        """See :meth:`sidelog.SummaryWriter.policy`."""
        if not isinstance(pattern, str) or not pattern:
            raise ConfigError(f"policy pattern is {pattern!r}, expected a tag or a pattern such as 'layer*'")
        if keep not in ("latest", "all"):
            raise ConfigError(f"policy keep is {keep!r}, expected 'latest' or 'all'")
        if type(every) is not int or every < 1:
            raise ConfigError(f"policy every is {every!r}, expected an integer of at least 1")
        with self._lock:
            self._rules.insert(0, (pattern, Policy(keep == "all", every)))
            self._of_tags.clear()
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
        with self._lock:
            self._calls[tag] += 1
            return self._calls[tag] % every == 1

    def _look_up(self, tag: str) -> Policy:
        with self._lock:
            if len(self._of_tags) >= MAX_TAGS:
                self._of_tags.clear()
                self._calls.clear()
            found = next((policy for pattern, policy in self._rules if fnmatchcase(tag, pattern)), Policy())
            self._of_tags[tag] = found
            return found
