"""Runs in each Python process of the torture test; in a daemon it puts its own system calls below the event files.

The daemon asks a control file at each of them what to do: the n-th may be its last, they may fail for a while, the
clock may be another. A daemon that writers start by themselves is reached in the same way: this folder is on
``PYTHONPATH``, and everything else is the daemon's ordinary program.
"""

from __future__ import annotations

import errno
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import sys
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

_CONTROL = os.environ.get("TORTURE_CONTROL", "")
_PATCHED = {"sidelog_daemon.sink.event_file", "sidelog_daemon.sink.recovery", "sidelog_daemon.sink.run_directory"}
_COUNTED = ("open", "write", "rename", "ftruncate", "truncate", "fsync")
_FAILING = ("open", "write", "rename")


class Calls:
    """Stands for the module ``os`` in the modules that write event files."""

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None
        self._order: dict[str, Any] = {}
        self._count = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in _COUNTED:
            return real

        def call(*arguments: Any, **options: Any) -> Any:
            self._before(name, arguments)
            return real(*arguments, **options)

        return call

    def _before(self, name: str, arguments: tuple[Any, ...]) -> None:
        order = self._read_order()
        code = order.get("errno")
        if code and name in _FAILING and _concerns(order.get("below", ""), name, arguments):
            raise OSError(errno.__dict__[code], os.strerror(errno.__dict__[code]), str(arguments[0]))
        kill_at = order.get("kill_at")
        if not kill_at:
            return
        self._count += 1
        if self._count >= kill_at:
            if name == "write" and order.get("torn"):
                data = arguments[1]
                os.write(arguments[0], data[: len(data) // 2])
                name = "half of write"
            os.unlink(_CONTROL)
            with open(f"{_CONTROL}.done", "a") as done:
                done.write(f"{name}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def _read_order(self) -> dict[str, Any]:
        try:
            status = os.stat(_CONTROL)
        except FileNotFoundError:
            self._seen, self._order = None, {}
            return self._order
        seen = (status.st_ino, status.st_mtime_ns)
        if seen != self._seen:
            self._seen, self._count = seen, 0
            self._order = read_control()
        return self._order


def _concerns(below: str, name: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a call that may write touches a file in one folder, or in any where none is named."""
    if name == "open" and arguments[1] & 3 == os.O_RDONLY:
        return False
    path = os.readlink(f"/proc/self/fd/{arguments[0]}") if isinstance(arguments[0], int) else os.fspath(arguments[0])
    return not below or os.path.dirname(path) == below


def read_control() -> dict[str, Any]:
    """What the torture wants of this daemon; nothing when there is no file."""
    try:
        with open(_CONTROL) as file:
            order: dict[str, Any] = json.load(file)
            return order
    except FileNotFoundError:
        return {}


class Finder(importlib.abc.MetaPathFinder):
    """Lets the modules that write event files be loaded as they are, and puts ``Calls`` into them."""

    def __init__(self) -> None:
        self._calls = Calls()
        self._begun = False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name == "sidelog_daemon.__main__":
            self._begin()
        if name not in _PATCHED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            load(module)
            self._patch(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def _begin(self) -> None:
        """This process is a daemon: what must be so before anything of it runs."""
        if self._begun:
            return
        self._begun = True
        order = read_control()
        shift = order.get("clock_shift_s")
        if shift:
            real = time.time
            time.time = lambda: real() + shift
        nofile = order.get("nofile")
        if nofile:
            resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))

    def _patch(self, module: types.ModuleType) -> None:
        module.os = self._calls  # type: ignore[attr-defined]
        if hasattr(module, "RunDirectory"):
            opens: Callable[..., object] = module.RunDirectory.open.__func__
            opens.__kwdefaults__["write"] = self._calls.write  # type: ignore[attr-defined]


if _CONTROL:
    sys.meta_path.insert(0, Finder())
