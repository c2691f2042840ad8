"""The rules for tags and run names: what may arrive in an event file and on a file system."""

from __future__ import annotations

import functools
import re

from sidelog_shared.limits import MAX_RUN_NAME_BYTES, MAX_TAG_BYTES

_TAG_CHARACTERS_REPLACED = re.compile(r"[^-/\w.]")


def check_tag(tag: object) -> str:
    """Return ``tag`` unchanged if it may name a series.

    Raises:
        TypeError: it is not a string.
        ValueError: it is empty, longer than 1,024 bytes in UTF-8, has a NUL, or nothing is left of it once
            TensorBoard's rules are applied (see :func:`clean_tag`).
    """
    if not isinstance(tag, str):
        raise TypeError(f"tag is {type(tag).__name__} {tag!r}, expected a non-empty string")
    if not tag:
        raise ValueError("tag is the empty string, expected a non-empty string such as 'train/loss'")
    try:
        size = len(tag.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"tag {tag!r} cannot be written as UTF-8 ({error.reason})") from None
    if size > MAX_TAG_BYTES:
        raise ValueError(f"tag {tag[:40]!r}... is {size:,} bytes, limit {MAX_TAG_BYTES:,}")
    if "\0" in tag:
        raise ValueError(f"tag {tag!r} has a NUL character, expected none")
    if not clean_tag(tag):
        raise ValueError(f"tag {tag!r} is made of slashes alone, expected a name such as 'train/loss'")
    return tag


@functools.lru_cache(maxsize=4096)  # a training logs the same few tags all the time
def clean_tag(tag: str) -> str:
    """The tag as it stands in the event file.

    tensorboardX writes every character that is not a letter, a digit or one of ``-/_.`` as ``_`` and strips leading
    slashes (its ``_clean_tag``, in scalars, pictures, histograms and videos); so do we, that tags compare equal.
    torch.utils.tensorboard keeps a tag as it is.
    """
    return _TAG_CHARACTERS_REPLACED.sub("_", tag).lstrip("/")


def check_run_name(name: str) -> str:
    """Return ``name`` unchanged if it may be a run below a daemon's logdir.

    Raises:
        ValueError: absolute, empty, too long, or with a part that leaves the logdir.
    """
    if not name or "\0" in name:
        raise ValueError(f"run name is {name!r}, expected a relative path such as 'exp1'")
    if len(name.encode(errors="surrogateescape")) > MAX_RUN_NAME_BYTES:
        raise ValueError(f"run name {name[:40]!r}... is longer than {MAX_RUN_NAME_BYTES:,} bytes")
    if name.startswith(("/", "~")):
        raise ValueError(f"run name is {name!r}, expected a path relative to the daemon's --logdir")
    if ".." in name.split("/"):
        raise ValueError(f"run name is {name!r}, expected no '..' in it: a run stays below the daemon's --logdir")
    return name
