"""Documents come back as they were packed, from any thread and after any mistake."""

from __future__ import annotations

import threading

import pytest

from sidelog_shared.documents import pack_document, read_document


def test_one_that_cannot_be_packed_leaves_nothing_behind() -> None:
    with pytest.raises(TypeError):
        pack_document(["a", object()])
    assert read_document(pack_document(["b", {"c": 1.5}, None])) == ["b", {"c": 1.5}, None]


def test_a_large_one_and_the_next() -> None:
    large = ["label"] * 400_000
    assert read_document(pack_document(large)) == large
    assert read_document(pack_document([1])) == [1]


def test_threads_do_not_meet() -> None:
    found: list[object] = []

    def pack(number: int) -> None:
        found.extend(read_document(pack_document([number] * 50)) == [number] * 50 for _ in range(200))

    threads = [threading.Thread(target=pack, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 800
