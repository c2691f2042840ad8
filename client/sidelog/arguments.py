"""Checks of the arguments that many calls share: steps, wall times, folders, ranks, bins."""

from __future__ import annotations

import math
import operator
import os
import re
import socket
import time
from datetime import datetime
from numbers import Real
from typing import Literal

import numpy as np
import numpy.typing as npt

from sidelog import ranks
from sidelog.arrays import as_lists
from sidelog_shared.errors import ConfigError
from sidelog_shared.limits import STEP_MAX, STEP_MIN, STEP_NEXT, STEP_NONE

_BIN_NAMES = ("tensorflow", "auto", "fd", "doane", "scott", "rice", "sturges", "sqrt")
"""numpy's, less ``"stone"``, which counts a million values hundreds of times."""
_MAX_BINS = 65_536
_MAX_WORDS_BYTES = 4096
"""A daemon takes as many characters; many series share one header of 64 KiB."""


def check_step(step: object) -> int:
    """An integer of 64 bits. Any number is taken, as tensorboardX does, and what stands behind its point is cut off.

    A text is none, though Python makes an integer of ``"7"``: it is an argument in another's place.
    """
    try:
        if isinstance(step, (str, bytes)):
            raise TypeError("a text")
        number: int = int(step)  # type: ignore[call-overload]  # what it cannot take is told of
    except (TypeError, ValueError, OverflowError, RuntimeError):  # NaN, infinity; tensors of several elements
        raise TypeError(f"global_step is {type(step).__name__} {step!r:.60}, expected an integer") from None
    if not STEP_MIN <= number <= STEP_MAX:
        raise ValueError(f"global_step is {number}, expected a 64-bit integer")
    return number


class NextStep:
    """In place of a step: the next of this run, kind and tag, which the daemon counts."""


def optional_step(step: object) -> int | None:
    if step is None:
        return None
    return STEP_NEXT if isinstance(step, NextStep) else check_step(step)


def column_step(step: object) -> int:
    """A step as it stands in a column of steps."""
    checked = optional_step(step)
    return STEP_NONE if checked is None else checked


def wall_time_or_now(wall_time: object) -> float:
    """Seconds since the epoch; now for None.

    Raises:
        TypeError: not a number.
        ValueError: not finite: a NaN ends the event file for TensorBoard's fast reader.
    """
    if wall_time is None:
        return time.time()
    try:
        seconds = float(wall_time)  # type: ignore[arg-type]  # what it cannot take is told of
    except (TypeError, ValueError):
        raise TypeError(f"walltime is {type(wall_time).__name__} {wall_time!r:.60}, expected seconds") from None
    if not math.isfinite(seconds):
        raise ValueError(f"walltime is {seconds}, expected finite seconds since the epoch")
    return seconds


def check_timeout(timeout_s: object) -> float:
    """How long somebody waits, in seconds; infinity for as long as it takes.

    Raises:
        ConfigError: not a number, or less than 0.
    """
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, Real) or not float(timeout_s) >= 0:  # a NaN is not
        raise ConfigError(f"timeout_s is {timeout_s!r:.60}, expected a number of seconds of at least 0")
    return float(timeout_s)


def check_words(name: str, text: object) -> str:
    """A title or a description, short enough for the header of a message."""
    if not isinstance(text, str):
        raise TypeError(f"{name} is {type(text).__name__} {text!r:.60}, expected a string")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} {text!r:.60} cannot be written as UTF-8 ({error.reason})") from None
    if size > _MAX_WORDS_BYTES:
        raise ValueError(f"{name} is {size:,} bytes, limit {_MAX_WORDS_BYTES:,}: add_text takes longer texts")
    return text


def run_folder(given: object, *, comment: str, rank: int | Literal["auto"] | None, over_tcp: bool) -> str:
    """Where a writer's run stands, as its user would say it; with the rank of a job.

    Args:
        given: what the user said; None or empty makes a name of date and host.
        comment: ends that name.
        rank: ``"auto"``, a number, or None for no folder of its own.
        over_tcp: it is a name relative to the daemon's logdir.

    Raises:
        ConfigError: not a path, one of a cloud storage, or no rank.
    """
    if given is None or given == "":
        name = datetime.now().strftime("%b%d_%H-%M-%S") + "_" + socket.gethostname() + str(comment)
        folder = name if over_tcp else os.path.join("runs", name)
    elif isinstance(given, (str, os.PathLike)):
        folder = os.fsdecode(given)
    else:
        raise ConfigError(f"logdir is {type(given).__name__} {given!r:.60}, expected a path")
    if isinstance(folder, bytes) or "\0" in folder:
        raise ConfigError(f"logdir is {folder!r:.60}, expected a path without NUL characters")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", folder):  # else it would be made here, as a folder named "s3:"
        raise ConfigError(f"logdir is {folder!r:.60}, expected a folder of this machine: no cloud storage is written")
    if rank == "auto":
        found = ranks.detect()
        rank = None if found is None else found.rank
    elif rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 0):
        raise ConfigError(f"rank is {rank!r}, expected an integer of at least 0, None or 'auto'")
    folder = ranks.folder_of(folder, rank)
    try:
        folder.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"logdir {folder!r} cannot be written as UTF-8 ({error.reason})") from None
    return folder


def absolute_folder(folder: str) -> str:
    """The same wherever the process goes later."""
    return os.path.abspath(os.path.expanduser(folder))


def check_writable(folder: str) -> None:
    """Make a run's folder, so that a wrong path is an error where it was given."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"logdir {folder} cannot be made ({error.strerror}), expected a folder that you may write"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"logdir {folder} cannot be written by this user, expected a folder that can")


def check_bins(bins: object, max_bins: object, what: str) -> tuple[dict[str, object], npt.NDArray[np.float64] | None]:
    """A histogram's options, and the edges of its bins where they were given one by one.

    Raises:
        ConfigError: bins that cannot be.
    """
    options: dict[str, object] = {}
    edges = None
    if isinstance(bins, str):
        if bins not in _BIN_NAMES:
            raise ConfigError(f"{what}: bins is {bins!r}, expected one of {', '.join(_BIN_NAMES)}")
        options["bins"] = bins
    elif (count := _as_integer(bins)) is not None:
        if not 1 <= count <= _MAX_BINS:
            raise ConfigError(f"{what}: bins is {count}, expected 1 to {_MAX_BINS:,}")
        options["bins"] = count
    else:
        edges = _edges(bins, what)
    if max_bins is not None:
        most = _as_integer(max_bins)
        if most is None or most < 1:
            raise ConfigError(f"{what}: max_bins is {max_bins!r}, expected an integer of at least 1")
        options["max_bins"] = min(most, _MAX_BINS)
    return options, edges


def _as_integer(value: object) -> int | None:
    """An integer of Python's, numpy's or torch's; None for what is none. (An array of one edge is one, to them.)"""
    dimensions: object = getattr(value, "ndim", 0)
    if isinstance(value, bool) or dimensions:
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # what it cannot take is told of
    except TypeError:
        return None


def _edges(bins: object, what: str) -> npt.NDArray[np.float64]:
    try:
        edges = np.array(as_lists(bins), np.float64)
    except (TypeError, ValueError):
        edges = np.empty(0)
    if edges.ndim != 1 or not 2 <= edges.size <= _MAX_BINS + 1 or not (np.diff(edges) >= 0).all():
        raise ConfigError(
            f"{what}: bins is {bins!r:.80}, expected a name, a number, or 2 to {_MAX_BINS + 1:,} ascending edges"
        )
    return edges
