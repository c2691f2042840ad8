"""Tags and run names; limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboardX.summary import _clean_tag

from sidelog_shared.limits import MIB, Limits
from sidelog_shared.names import check_run_name, check_tag, clean_tag


@pytest.mark.parametrize("tag", ["loss", "train/loss", "a b", "Größe", "x" * 1024, "/lead", "."])
def test_tags_that_may_be(tag: str) -> None:
    assert check_tag(tag) == tag


@pytest.mark.parametrize(
    ("tag", "error", "message"),
    [
        (None, TypeError, "tag is NoneType None, expected a non-empty string"),
        (3, TypeError, "tag is int 3, expected a non-empty string"),
        (b"loss", TypeError, "tag is bytes b'loss', expected a non-empty string"),
        ("", ValueError, "tag is the empty string, expected a non-empty string such as 'train/loss'"),
        ("x" * 1025, ValueError, "is 1,025 bytes, limit 1,024"),
        ("ü" * 513, ValueError, "is 1,026 bytes, limit 1,024"),
        ("a\0", ValueError, "has a NUL character, expected none"),
        ("\ud800", ValueError, "cannot be written as UTF-8"),
        ("///", ValueError, "is made of slashes alone, expected a name such as 'train/loss'"),
    ],
)
def test_tags_that_may_not(tag: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        check_tag(tag)
    assert message in str(caught.value)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_tag_is_cleaned_as_tensorboardx_does(tag: str) -> None:
    assert clean_tag(tag) == _clean_tag(tag)


@pytest.mark.parametrize("name", ["exp1", "a/b/c", "..a", "a..", "Läufe/1", "with space"])
def test_run_names_that_may_be(name: str) -> None:
    assert check_run_name(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "run name is '', expected a relative path such as 'exp1'"),
        ("a\0b", "expected a relative path"),
        ("/etc", "run name is '/etc', expected a path relative to the daemon's --logdir"),
        ("~/runs", "expected a path relative to the daemon's --logdir"),
        ("..", "expected no '..' in it: a run stays below the daemon's --logdir"),
        ("a/../../b", "expected no '..' in it"),
        ("x" * 4097, "is longer than 4,096 bytes"),
    ],
)
def test_run_names_that_may_not(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        check_run_name(name)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["max_record_bytes", "session_budget_bytes"])
def test_limits_below_a_mebibyte_are_refused(name: str) -> None:
    assert getattr(Limits(**{name: MIB}), name) == MIB
    with pytest.raises(ValueError, match=f"limits.{name} is 5, expected at least 1048576 bytes"):
        Limits(**{name: 5})
