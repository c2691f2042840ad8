"""A call that is like the last one takes a short way; what it logs is the same to the byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quiet_writers import Quiet, quiet_writer

from sidelog import SummaryWriter
from sidelog.plans import MAX_PLANS, Plans
from sidelog.snapshot import Snapshotter
from sidelog_shared.errors import SidelogError, SnapshotError

TORCH_DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.uint8, torch.int64,
    torch.int16, torch.bool,
)  # fmt: skip
NUMPY_DTYPES = ("float32", "float64", "float16", "uint8", "int64", "bool", ">f4", ">i2")


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Quiet:
    return quiet_writer(monkeypatch, tmp_path)


@pytest.fixture
def full_ways(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Counts the calls that took the full way since it was last asked."""
    taken = []
    take = Snapshotter.take
    monkeypatch.setattr(Snapshotter, "take", lambda self, *given: (taken.append(1), take(self, *given))[1])

    def count() -> int:
        found = len(taken)
        taken.clear()
        return found

    return count


def tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@st.composite
def like_tensors(draw: st.DrawFn) -> list[Any]:
    """Some tensors or arrays, of which several may be alike: other values, types, shapes, strides."""
    shapes = draw(
        st.lists(st.sampled_from([(3, 4, 5), (1, 4, 5), (2, 3, 4, 5), (4, 5), (20, 4, 5)]), min_size=1, max_size=2)
    )
    made: list[Any] = []
    for seed in range(draw(st.integers(2, 5))):
        shape = draw(st.sampled_from(shapes))
        base = tensor(*shape, seed=seed) * 9 - 2
        form = draw(
            st.sampled_from(["torch", "torch", "torch", "numpy", "numpy", "transposed", "strided", "parameter"])
        )
        if form == "numpy":
            made.append(base.numpy().astype(draw(st.sampled_from(NUMPY_DTYPES))))
            continue
        value = base.to(draw(st.sampled_from(TORCH_DTYPES[:3] if form != "torch" else TORCH_DTYPES)))
        if form == "transposed":
            value = value.transpose(-1, -2).contiguous().transpose(-1, -2)
        elif form == "strided":
            value = value.repeat_interleave(2, dim=-1)[..., ::2]
        elif form == "parameter":
            value = torch.nn.Parameter(value)
        made.append(value)
    return made


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("add_image", {}),
    ("add_image", {"dataformats": "HW"}),
    ("add_image", {"dataformats": "NCHW"}),
    ("add_image", {"nrow": 2, "padding": 1}),
    ("add_image", {"normalize": True}),
    ("add_image", {"mean": [0.5], "std": [0.25]}),
    ("add_image", {"format": "jpeg"}),
    ("add_images", {}),
    ("add_images", {"nrow": 3}),
    ("add_images", {"dataformats": "NHW"}),
    ("add_feature_map", {}),
    ("add_feature_map", {"sample": 1, "normalize": False}),
    ("add_feature_map", {"format": "jpeg", "quality": 70}),
    ("add_label_map", {}),
    ("add_label_map", {"palette": [(1, 2, 3)], "num_classes": 5}),
]


def outcome(quiet: Quiet, method: str, value: object, arguments: dict[str, Any]) -> object:
    try:
        getattr(quiet.writer, method)("tag", value, 7, 1.0, **arguments)
    except SidelogError as error:
        return type(error), str(error)
    return quiet.shown()


class Forgetful(Plans):
    """Every call takes the full way."""

    def find(self, call: tuple[object, ...]) -> None:
        return None


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=like_tensors(), call=st.sampled_from(CALLS))
def test_with_and_without_plans_the_outcome_is_the_same(
    values: list[Any], call: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    method, arguments = call
    with pytest.MonkeyPatch.context() as patch:
        planned, unplanned = quiet_writer(patch, tmp_path), quiet_writer(patch, tmp_path)
    assert unplanned.writer._recorder is not None
    unplanned.writer._recorder._plans = Forgetful()
    for value in [*values, *values]:
        assert outcome(planned, method, value, arguments) == outcome(unplanned, method, value, arguments)


class TestTheShortWay:
    def test_is_taken_for_a_tensor_like_the_last(self, quiet: Quiet, full_ways: Callable[[], int]) -> None:
        for seed in range(4):
            value = tensor(16, 3, 4, 5, seed=seed)
            quiet.writer.add_feature_map("map", value, seed, sample=2)
            assert quiet.shown()[1] == value[2].numpy().tobytes()
        assert full_ways() == 1

    def test_has_its_own_step_time_and_number(self, quiet: Quiet) -> None:
        value = tensor(3, 4, 5)
        calls = []
        for step, wall_time in ((None, 1.0), (3, 2.0), (np.int64(4), 3.0)):
            quiet.writer.add_image("a", value, step, wall_time)  # type: ignore[arg-type]
            calls.append(quiet.picture())
        assert [(call.step, call.wall_time, call.ordinal) for call in calls] == [(None, 1, 1), (3, 2, 2), (4, 3, 3)]

    def test_checks_steps_and_wall_times(self, quiet: Quiet) -> None:
        quiet.writer.add_image("a", tensor(3, 4, 5), 1)
        quiet.picture()
        with pytest.raises(TypeError, match="global_step is str '1'"):
            quiet.writer.add_image("a", tensor(3, 4, 5), "1")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="walltime is nan"):
            quiet.writer.add_image("a", tensor(3, 4, 5), 1, float("nan"))
        assert quiet.outbox.picture_count == 0

    @pytest.mark.parametrize("value", [tensor(3, 4, 5).requires_grad_(), torch.nn.Parameter(tensor(3, 4, 5))])
    def test_is_taken_where_grad_is_needed(
        self, value: torch.Tensor, quiet: Quiet, full_ways: Callable[[], int]
    ) -> None:
        for _ in range(3):
            quiet.writer.add_image("a", value)
            assert quiet.shown()[1] == value.detach().numpy().tobytes()
        assert full_ways() == 1

    def test_is_taken_in_inference_mode(self, quiet: Quiet, full_ways: Callable[[], int]) -> None:
        with torch.inference_mode():
            value = tensor(3, 4, 5)
            for _ in range(2):
                quiet.writer.add_image("a", value)
                assert quiet.shown()[1] == value.numpy().tobytes()
        assert full_ways() == 1

    def test_makes_room_as_the_full_way_does(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        quiet = quiet_writer(monkeypatch, tmp_path, budget_bytes=8192)
        for step in range(4):
            quiet.writer.add_image("a", torch.full((1, 32, 32), float(step)), step)
        first, second = quiet.outbox.take_picture(), quiet.outbox.take_picture()
        assert first is not None
        assert second is not None
        assert [first.step, second.step] == [2, 3]
        assert quiet.outbox.dropped == {"a": 2}

    def test_too_large_for_all_memory_is_a_counted_drop(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        quiet = quiet_writer(monkeypatch, tmp_path, budget_bytes=4096)
        for _ in range(3):
            quiet.writer.add_image("a", tensor(1, 64, 64))
        assert quiet.outbox.dropped == {"a": 3}


def special(name: str) -> torch.Tensor:
    dense = tensor(3, 4, 5)
    match name:
        case "meta":
            return dense.to("meta")
        case "sparse":
            return dense.to_sparse()
        case "freed":
            dense = tensor(8, 4, 5)[5:]
            dense.untyped_storage().resize_(0)
            return dense
        case "nested":
            return torch.nested.nested_tensor([dense[0], dense[1]])
    raise AssertionError


class TestTheFullWay:
    @pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype")
    @pytest.mark.parametrize("name", ["meta", "sparse", "freed", "nested"])
    def test_refuses_what_the_plan_does_not_know(self, name: str, quiet: Quiet) -> None:
        quiet.writer.add_image("a", tensor(3, 4, 5))
        quiet.picture()
        with pytest.raises(SnapshotError, match="expected an ordinary dense tensor"):
            quiet.writer.add_image("a", special(name))

    @pytest.mark.parametrize("transform", [torch.vmap, lambda f: torch.func.grad(lambda x: f(x).sum())])
    def test_refuses_a_tensor_inside_a_transform(self, transform: Any, quiet: Quiet) -> None:
        quiet.writer.add_image("a", tensor(3, 4, 5))
        quiet.picture()

        def log(value: torch.Tensor) -> torch.Tensor:
            quiet.writer.add_image("a", value)
            return value

        value = tensor(2, 3, 4, 5) if transform is torch.vmap else tensor(3, 4, 5)
        with pytest.raises(SnapshotError, match=r"inside a torch\.func transform"):
            transform(log)(value)

    @pytest.mark.parametrize(
        "other",
        [
            tensor(3, 4, 5).double(),
            tensor(3, 5, 4),
            tensor(1, 4, 5),
            tensor(3, 5, 4).transpose(1, 2),
            tensor(3, 4, 10)[..., ::2],
            tensor(3, 4, 5).numpy(),
            torch.complex(tensor(3, 4, 5), tensor(3, 4, 5)).conj().imag,
            torch.nn.Parameter(tensor(3, 4, 5)),
        ],
    )
    def test_takes_what_is_unlike_the_last(self, other: Any, quiet: Quiet, full_ways: Callable[[], int]) -> None:
        quiet.writer.add_image("a", tensor(3, 4, 5, seed=1))
        quiet.picture()
        full_ways()
        quiet.writer.add_image("a", other)
        array = other.detach().resolve_neg().numpy() if isinstance(other, torch.Tensor) else other
        assert quiet.shown()[1] == array.tobytes()
        assert full_ways() == 1

    def test_sees_a_shape_that_is_wrong(self, quiet: Quiet) -> None:
        quiet.writer.add_image("a", tensor(3, 4, 5))
        with pytest.raises(SnapshotError, match="20 channels"):
            quiet.writer.add_image("a", tensor(20, 4, 5))

    def test_sees_a_list_that_was_changed(self, quiet: Quiet) -> None:
        mean, std, palette = [0.1, 0.2, 0.3], [1.0, 1.0, 1.0], [[1, 2, 3], [4, 5, 6]]
        recipes: list[Any] = []
        for _ in range(2):
            quiet.writer.add_image("a", tensor(3, 4, 5), mean=mean, std=std)
            recipes.append(quiet.shown()[2]["recipe"])
            quiet.writer.add_label_map("b", torch.ones(4, 5, dtype=torch.int64), palette=palette)
            recipes.append(quiet.shown()[2]["recipe"])
            mean[0] = 0.9
            palette[1][2] = 99
        assert [one["mean"][0] for one in recipes[::2]] == [0.1, 0.9]
        assert [one["palette"][1] for one in recipes[1::2]] == [(4, 5, 6), (4, 5, 99)]

    def test_sees_an_array_that_was_changed(self, quiet: Quiet) -> None:
        mean, std = np.array([0.1, 0.2, 0.3]), torch.ones(3)
        seen = []
        for _ in range(2):
            quiet.writer.add_image("a", tensor(3, 4, 5), mean=mean, std=std)
            recipe: Any = quiet.shown()[2]["recipe"]
            seen.append((recipe["mean"][0], recipe["std"][0]))
            mean[0] = 0.9
            std[0] = 7
        assert seen == [(0.1, 1.0), (0.9, 7.0)]

    def test_tells_calls_apart_that_differ_in_one_argument(self, quiet: Quiet) -> None:
        value = tensor(2, 3, 4, 5)
        for arguments in ({"nrow": 1}, {"nrow": 2}, {"padding": 1}, {"pad_value": 1.0}, {"normalize": True},
                          {"value_range": (0, 2)}, {"range": (0, 3)}, {"scale_each": True}) * 2:  # fmt: skip
            quiet.writer.add_image("a", value, **arguments)  # type: ignore[arg-type]
            recipe: Any = quiet.shown()[2]["recipe"]
            name, given_value = next(iter(arguments.items()))
            assert recipe[{"range": "value_range"}.get(name, name)] == given_value

    def test_bad_arguments_are_refused_each_time(self, quiet: Quiet) -> None:
        for _ in range(2):
            with pytest.raises(SidelogError, match="expected a number per channel"):
                quiet.writer.add_image("a", tensor(3, 4, 5), mean={"r": 1}, std=1)
            with pytest.raises(TypeError, match="tag is list"):
                quiet.writer.add_image(["a"], tensor(3, 4, 5))  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="tag is the empty string"):
                quiet.writer.add_image("", tensor(3, 4, 5))


def test_plans_do_not_pile_up(quiet: Quiet) -> None:
    value = tensor(1, 2, 2)
    for step in range(MAX_PLANS + 10):
        quiet.writer.add_image(f"tag {step}", value)
        quiet.shown()
    recorder = quiet.writer._recorder
    assert recorder is not None
    assert len(recorder._plans._plans) == 10


def test_each_writer_has_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quiet = quiet_writer(monkeypatch, tmp_path)
    other = SummaryWriter(tmp_path / "other", endpoint="ipc:///nobody")
    quiet.writer.add_image("a", tensor(3, 4, 5))
    assert quiet.picture().run == 1
    other.add_image("a", tensor(3, 4, 5))
    assert quiet.picture().run == 2
