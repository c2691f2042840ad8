"""What holds for all methods: names and places of their arguments, ``use_metadata``, calls after ``close``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import every_method
import pytest
import tensorboardX.writer
import torch.utils.tensorboard
from pair import PEERS, Pair

import sidelog

Pairs = Callable[..., Pair]
MOMENT = {"global_step": 7, "walltime": 1e9}


@pytest.fixture
def calls(tmp_path: Path) -> dict[str, dict[str, Any]]:
    return every_method.calls(tmp_path)


def test_none_is_forgotten(calls: dict[str, Any]) -> None:
    assert sorted(calls) == every_method.methods()


@pytest.mark.parametrize("name", ["__init__", "use_metadata", "export_scalars_to_json", *every_method.methods()])
def test_arguments_have_tensorboardxs_names_places_and_defaults(name: str) -> None:
    theirs = list(inspect.signature(getattr(tensorboardX.writer.SummaryWriter, name)).parameters.values())
    ours = inspect.signature(getattr(sidelog.SummaryWriter, name)).parameters
    for place, parameter in enumerate(theirs):
        if parameter.kind is parameter.VAR_KEYWORD:  # of the constructor: none is known; of boxes: rescale
            continue
        mine = ours[parameter.name]
        assert list(ours).index(parameter.name) == place
        assert mine.kind == parameter.kind
        if parameter.name != "comet_config":
            assert mine.default == parameter.default


@pytest.mark.parametrize("name", ["__init__", "add_tensor", *every_method.methods()])
def test_arguments_have_torchs_names_too(name: str) -> None:
    theirs = inspect.signature(getattr(torch.utils.tensorboard.SummaryWriter, name)).parameters
    ours = inspect.signature(getattr(sidelog.SummaryWriter, name)).parameters
    assert set(theirs) - {"prototxt"} <= set(ours)


@pytest.mark.parametrize("how", [every_method.by_name, every_method.by_position])
def test_every_argument_is_where_it_was(pair: Pair, calls: dict[str, Any], how: Callable[..., None]) -> None:
    for name, arguments in calls.items():
        for writer in (pair.ours, pair.theirs):
            how(getattr(writer, name), arguments, MOMENT)
    pair.check()


def test_every_argument_is_where_it_was_in_torch(pairs: Pairs, calls: dict[str, Any]) -> None:
    pair = pairs(peer=PEERS["torch"])
    # What differs stands in docs/differences.md: sounds, meshes, videos, sub-runs of add_scalars, steps of hparams.
    others = {"add_audio", "add_mesh", "add_video", "add_scalars", "add_hparams", "add_image_with_boxes"}
    for name in sorted({*calls} - others - {"add_onnx_graph"}):
        given = {**calls[name], **MOMENT}
        if "tag" in given:
            given["tag"] = given["tag"].replace(" ", "_")
        order = every_method.parameters(name, PEERS["torch"])  # type: ignore[arg-type]
        pair.call(name, *(given[key] for key in order if key in given))
    pair.check()


@pytest.mark.parametrize("moment", [MOMENT, {"walltime": 1e9}, {"global_step": 2.5, "walltime": 5}])
def test_use_metadata_around_every_method(pair: Pair, calls: dict[str, Any], moment: dict[str, Any]) -> None:
    """The original gives the moment to some of them and not to others; ours to the same."""
    for writer in (pair.ours, pair.theirs):
        with writer.use_metadata(**moment) as given:
            assert given is writer
            for name, arguments in calls.items():
                getattr(writer, name)(**{**arguments, **({"name": "within"} if name == "add_hparams" else {})})
            for name, arguments in calls.items():
                if name == "add_hparams":
                    arguments = {**arguments, "name": "own moment"}  # noqa: PLW2901  # each trial has a folder
                every_method.by_name(getattr(writer, name), arguments, {"global_step": 8, "walltime": 2e8})
        writer.add_scalar("after", 0.5, None, 1e9)
    pair.check()


@pytest.mark.usefixtures("a_second_each")
def test_every_method_goes_on_after_close(pair: Pair, calls: dict[str, Any]) -> None:
    for step, (name, arguments) in enumerate(calls.items()):
        if name == "add_hparams":  # theirs fails: docs/differences.md
            continue
        pair.close()
        for writer in (pair.ours, pair.theirs):
            every_method.by_name(getattr(writer, name), arguments, {"global_step": step, "walltime": 1e9})
    pair.check()


@pytest.mark.usefixtures("a_second_each")
def test_calls_after_close_go_on_in_the_same_folder(pairs: Pairs, peer: Any) -> None:
    pair = pairs(peer=peer)
    for value in range(3):
        pair.call("add_scalar", "loss", float(value), value, 1e9)
        pair.call("add_text", "note", f"{value}", value, 1e9)
        pair.close()
        pair.close()
        pair.call("flush")
    pair.check()
