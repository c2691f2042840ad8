"""What the commands of the benches do alike: how they end, what they check before, where they put what they found."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from sidelog.bench.arguments import show_progress
from sidelog.bench.pages import read_page
from sidelog_shared.errors import ConfigError, MissingExtra, SidelogError

_OUTPUTS = ("json", "plot", "markdown", "logdir")
"""Options that say where something goes, and nothing of what is measured."""


def run(name: str, body: Callable[[], None]) -> int:
    """Run a command to its end, and say what ended it.

    Args:
        name: what it is called in its messages.
        body: checks, measures, prints.

    Returns:
        0 when it ran, whatever it found; 1 where it could not measure, 2 for an argument that cannot be, 3 for a
        missing package, 130 for Ctrl-C.
    """
    try:
        body()
    except KeyboardInterrupt:
        show_progress("")
        print(f"{name}: interrupted; everything that it started is stopped", file=sys.stderr)
        return 130
    except SidelogError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 3 if isinstance(error, MissingExtra) else 2 if isinstance(error, ConfigError) else 1
    return 0


def add_outputs(parser: argparse.ArgumentParser, *, plot: str, tables: str = "the tables") -> None:
    """The options ``--json``, ``--plot`` and ``--markdown``.

    Args:
        parser: gets them.
        plot: what is drawn.
        tables: what is put into pages.
    """
    add = parser.add_argument
    add("--json", type=Path, metavar="FILE", help="write everything that was measured there")
    add("--plot", type=Path, metavar="FILE", help=f"draw {plot} there, as PNG or by the file's ending")
    add("--markdown", type=Path, action="append", default=[], metavar="PAGE",
        help=f"put {tables} between the marks of that page; may be given several times")  # fmt: skip


def parse(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str],
    *,
    quick: Mapping[str, object],
    accurate: Mapping[str, object],
) -> argparse.Namespace:
    """The options, with the defaults of ``--quick`` or of an accurate run where nothing was given."""
    options = parser.parse_args(arguments)
    for name, value in (quick if options.quick else accurate).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def check(options: argparse.Namespace, *, name: str, packages: Sequence[str], tables: Sequence[str]) -> None:
    """Before anything is measured: what is needed is there, and what is found can be written.

    Args:
        options: with :func:`add_outputs`'s.
        name: of the command.
        packages: that it imports.
        tables: which of them a page must have a place for.

    Raises:
        MissingExtra: a package is not there.
        ConfigError: a file cannot be written, or a page has no place for the tables.
    """
    for package in (*packages, *(["matplotlib"] if options.plot else [])):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "bench", name)
    for file in (options.json, options.plot):
        if file is not None and not file.absolute().parent.is_dir():
            raise ConfigError(f"{file} is in a folder that is not there, expected one that is")
    for page in options.markdown:
        read_page(page, tables)


def settings(options: argparse.Namespace) -> dict[str, object]:
    """What was measured with, for ``--json``."""
    return {name: value for name, value in vars(options).items() if name not in _OUTPUTS}


def write_json(
    options: argparse.Namespace,
    found: Mapping[str, object],
    *,
    version: int,
    machine: Mapping[str, object],
    versions: Mapping[str, str],
) -> None:
    """Write everything, if ``--json`` says where.

    Args:
        options: with :func:`add_outputs`'s.
        found: ready for JSON.
        version: of that format.
        machine: see :func:`sidelog.bench.machine.machine`.
        versions: of the packages that matter.
    """
    if options.json is None:
        return
    whole = {
        "format": version,
        "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": versions,
        "settings": settings(options),
        **found,
    }
    options.json.write_text(json.dumps(whole, indent=1) + "\n")
