"""The entries of daemons that were started on an endpoint of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidelog_shared.registry import Registration, registered
from sidelog_shared.rendezvous import Ready


def ready(instance: str) -> Ready:
    return Ready("tcp://127.0.0.1:5557", os.getpid(), "host", instance, "0.1.0", "/runs")


def test_an_entry_stands_until_it_is_removed(tmp_path: Path) -> None:
    one, other = Registration(tmp_path, ready("a" * 16)), Registration(tmp_path, ready("b" * 16))
    assert registered(tmp_path) == [ready("a" * 16), ready("b" * 16)]
    one.remove()
    one.remove()
    assert registered(tmp_path) == [ready("b" * 16)]
    other.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_daemon_left_is_removed_and_not_told(tmp_path: Path) -> None:
    registration = Registration(tmp_path, ready("a" * 16))
    left = (tmp_path / "bound-aaaaaaaaaaaaaaaa.ready").read_bytes()
    registration.remove()
    (tmp_path / "bound-aaaaaaaaaaaaaaaa.ready").write_bytes(left)
    assert registered(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_an_entry_of_another_form_is_left_alone(tmp_path: Path) -> None:
    registration = Registration(tmp_path, ready("a" * 16))
    (tmp_path / "bound-aaaaaaaaaaaaaaaa.ready").write_bytes(b'{"endpoint": 7}')
    assert registered(tmp_path) == []
    assert (tmp_path / "bound-aaaaaaaaaaaaaaaa.ready").exists()
    registration.remove()


def test_a_folder_that_cannot_be_written_leaves_no_lock(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Registration(tmp_path / "nowhere", ready("a" * 16))
