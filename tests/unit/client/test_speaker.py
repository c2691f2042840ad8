"""What is to be said: by a thread of its own, in order, each once, and at the end at the latest."""

from __future__ import annotations

import threading

import pytest

from processes import wait_until
from sidelog import speaker
from sidelog.speaker import Speaker


def test_it_is_said_in_order_by_another_thread_that_ends() -> None:
    said: list[tuple[str, str]] = []
    talks = Speaker(lambda text: said.append((text, threading.current_thread().name)))
    for number in range(5):
        talks.add(str(number))
    talks.speak()
    wait_until(lambda: len(said) == 5)
    assert said == [(str(number), "sidelog-speaker") for number in range(5)]
    talks.finish(10)
    talks.speak()
    assert "sidelog-speaker" not in [thread.name for thread in threading.enumerate()]


def test_who_listens_slowly_holds_up_nobody_and_hears_all_of_it() -> None:
    heard: list[str] = []
    goes_on, begun = threading.Event(), threading.Event()

    def say(text: str) -> None:
        begun.set()
        if threading.current_thread().name == "sidelog-speaker":
            goes_on.wait(30)
        heard.append(text)

    talks = Speaker(say)
    talks.add("first")
    talks.speak()
    assert begun.wait(10)
    talks.add("second")
    talks.speak()
    talks.finish(0.01)  # it is not waited for without end
    assert heard == ["second"]
    goes_on.set()
    talks.finish(10)
    assert heard == ["second", "first"]


def test_where_no_thread_can_be_had_it_is_said_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    heard: list[str] = []
    talks = Speaker(heard.append)
    talks.add("the last word")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        talks.speak()
    assert heard == []
    talks.finish(0)
    assert heard == ["the last word"]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker, "MAX_TEXTS", 3)
    heard: list[str] = []
    talks = Speaker(heard.append)
    for number in range(5):
        talks.add(str(number))
    talks.finish(0)
    assert heard == ["0", "1", "2"]
