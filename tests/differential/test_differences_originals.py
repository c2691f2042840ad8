"""docs/differences.md, Where the originals differ from each other: both, and which of them sidelog follows."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from differences import row
from pair import PEERS, Pair
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.plugins.mesh.plugin_data_pb2 import MeshPluginData

from decoded import Decoded, messages

Pairs = Callable[..., Pair]
Both = Callable[..., dict[str, Pair]]
OURS, THEIRS = 0, 1


@pytest.fixture
def both(pairs: Pairs) -> Both:
    """One call of both originals and of ours beside each; all are closed."""

    def call(name: str, *arguments: Any, **named: Any) -> dict[str, Pair]:
        made = {peer: pairs(peer=make) for peer, make in PEERS.items()}
        for pair in made.values():
            pair.call(name, *arguments, **named)
            pair.close()
        return made

    return call


CLEANED = {
    "add_scalar": (0.5,), "add_image": (np.zeros((3, 4, 5), np.uint8),), "add_histogram": ([1.0],),
    "add_video": (np.zeros((1, 2, 3, 4, 4), np.uint8),),
}  # fmt: skip
KEPT = {
    "add_text": ("text",), "add_audio": (np.zeros(3),), "add_pr_curve": (np.ones(2), np.ones(2)),
    "add_histogram_raw": (0, 1, 1, 1, 1, [1.0], [1.0]),
    "add_image_with_boxes": (np.zeros((3, 4, 5), np.uint8), np.zeros((0, 4))),
}  # fmt: skip


@row("characters of a tag that are no letters, digits or `-/_.`")
@pytest.mark.parametrize("name", [*CLEANED, *KEPT])
def test_characters_of_a_tag(pairs: Pairs, name: str) -> None:
    tag = "/a b:ü.-_/c"
    expected = "a_b_ü.-_/c" if name in CLEANED else tag
    for peer, make in PEERS.items():
        pair = pairs(peer=make)
        arguments = tuple(np.array(one) if isinstance(one, list) and name == "add_histogram" else one
                          for one in {**CLEANED, **KEPT}[name])  # fmt: skip
        pair.call(name, tag, *arguments)
        ours, theirs = ([value.tag.removesuffix("/text_summary") for value in values] for values in pair.values())
        assert ours == [expected]
        assert theirs == [expected if peer == "tensorboardX" else tag]


@row("sub-runs of `add_scalars`")
def test_sub_runs_of_add_scalars(both: Both) -> None:
    found = {peer: [sorted(decoded) for decoded in pair.decoded()] for peer, pair in
             both("add_scalars", "a/chart", {"k": 1.0}, 1).items()}  # fmt: skip
    assert found == {
        "tensorboardX": [["a/chart/k"], ["a/chart/k"]],
        "torch": [["a/chart/k"], ["a_chart_k"]],
    }


def trial(pair: Pair, side: int) -> list[Decoded]:
    (found,) = pair.decoded()[side].values()
    return found


def hparam(pair: Pair, side: int) -> Any:
    """The one hyperparameter of the one trial, as it is shown."""
    contents = [HParamsPluginData.FromString(value.metadata[1]) for value in trial(pair, side) if value.metadata[1]]
    (start,) = [content.session_start_info for content in contents if content.HasField("session_start_info")]
    shown = start.hparams.get("value")
    return None if shown is None else getattr(shown, shown.WhichOneof("kind"))


@row("a bool in `add_hparams`")
def test_a_bool_in_add_hparams(both: Both) -> None:
    pairs = both("add_hparams", {"value": True}, {"loss": 1.0})
    assert [hparam(pair, OURS) for pair in pairs.values()] == [True, True]
    assert hparam(pairs["tensorboardX"], THEIRS) is True
    assert hparam(pairs["torch"], THEIRS) == 1.0
    assert not isinstance(hparam(pairs["torch"], THEIRS), bool)


@row("values of `add_hparams` that are no number, text or bool")
def test_other_values_of_add_hparams(pairs: Pairs, both: Both) -> None:
    tensors = both("add_hparams", {"value": torch.tensor([2.5])}, {"loss": 1.0})
    assert [hparam(pair, OURS) for pair in tensors.values()] == [None, None]
    assert [hparam(tensors[peer], THEIRS) for peer in PEERS] == [None, 2.5]
    for value, shown in ((torch.relu, "relu"), ([1], None), (np.float32(1), None)):
        torchs, pair = pairs(peer=PEERS["torch"]), pairs()
        with pytest.raises(ValueError, match="value should be one of"):
            torchs.theirs_alone("add_hparams", {"value": value}, {"loss": 1.0})
        pair.call("add_hparams", {"value": value}, {"loss": 1.0})
        assert hparam(pair, OURS) == hparam(pair, THEIRS) == shown


@row("the step of `add_hparams`")
def test_the_step_of_add_hparams(both: Both) -> None:
    pairs = both("add_hparams", {"value": 1}, {"loss": 1.0}, global_step=7)
    steps = {
        peer: [{value.tag.split("/")[0]: value.step for value in trial(pair, side)} for side in (OURS, THEIRS)]
        for peer, pair in pairs.items()
    }
    metrics_alone, all_of_them = {"_hparams_": 0, "loss": 7}, {"_hparams_": 7, "loss": 7}
    assert steps == {"tensorboardX": [metrics_alone, metrics_alone], "torch": [metrics_alone, all_of_them]}


@row("samples of audio")
def test_samples_of_audio(pairs: Pairs, both: Both) -> None:
    found = []
    for pair in both("add_audio", "clip", np.array([0.0, 0.7]), 1).values():
        for folder in pair.folders:
            (value,) = messages(folder)
            with wave.open(io.BytesIO(value.audio.encoded_audio_string)) as file:
                found.append(int(np.frombuffer(file.readframes(2), "<i2")[1]))
    assert found == [22937, 22937, 22937, 22936]
    stereo = np.zeros((9, 2))
    with pytest.raises(AssertionError, match="1 dimensional"):
        pairs(peer=PEERS["torch"]).theirs_alone("add_audio", "clip", stereo)
    pair = pairs()
    pair.call("add_audio", "clip", stereo, 1, 8000, 1e9)
    pair.check()


@row("tags and details of meshes")
def test_tags_and_details_of_meshes(both: Both) -> None:
    points = torch.zeros(1, 3, 3)
    pairs = both("add_mesh", "mesh", points, points, points.int())
    tags = {
        peer: [[value.tag for value in messages(folder)] for folder in pair.folders] for peer, pair in pairs.items()
    }
    numbers, names = ["mesh_1", "mesh_2", "mesh_3"], ["mesh_VERTEX", "mesh_FACE", "mesh_COLOR"]
    assert tags == {"tensorboardX": [numbers, numbers], "torch": [numbers, names]}
    details = [
        MeshPluginData.FromString(messages(folder)[0].metadata.plugin_data.content)
        for folder in (
            pairs["torch"].folders[OURS],
            pairs["tensorboardX"].folders[THEIRS],
            pairs["torch"].folders[THEIRS],
        )
    ]
    assert [(one.json_config, one.components) for one in details] == [("null", 0), ("null", 0), ("{}", 14)]


@row("lists of numbers")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("add_scalar", ("tag", [0.5])),
        ("add_histogram", ("tag", [1.0, 2.0])),
        ("add_image", ("tag", [[[0.0, 1.0]]])),
        ("add_audio", ("tag", [0.0, 1.0])),
        ("add_pr_curve", ("tag", [0, 1], [0.1, 0.9])),
        ("add_embedding", ([[1.0], [2.0]],)),
    ],
)
def test_lists_of_numbers(pairs: Pairs, name: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(NotImplementedError, match="Got <class 'list'>"):
        pairs(peer=PEERS["torch"]).theirs_alone(name, *arguments)
    pair = pairs()
    pair.call(name, *arguments)
    pair.check()
