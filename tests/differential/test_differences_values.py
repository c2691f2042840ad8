"""docs/differences.md, Values: what tensorboardX takes or makes of numbers, and what sidelog does instead."""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from differences import row
from every_method import model_file
from pair import PEERS, Pair
from tensorboard.util.tensor_util import make_ndarray

from decoded import messages
from sidelog_shared.errors import ConfigError, SnapshotError

Pairs = Callable[..., Pair]
OURS, THEIRS = 0, 1


@row("bfloat16")
def test_bfloat16(pairs: Pairs) -> None:
    exact = torch.tensor([[1.0, 2.0**40]], dtype=torch.bfloat16)  # more than half precision has
    found = []
    for name, peer in PEERS.items():
        pair = pairs(peer=peer)
        pair.ours_alone("add_embedding", exact, None, None, 1)
        if name == "tensorboardX":
            with pytest.raises(TypeError, match="BFloat16"):
                pair.theirs_alone("add_embedding", exact, None, None, 1)
        else:
            pair.theirs_alone("add_embedding", exact, None, None, 1)
            found.append((pair.folders[THEIRS] / "00001/default/tensors.tsv").read_text())
        pair.close()
        found.append((pair.folders[OURS] / "00001/default/tensors.tsv").read_text())
    assert found == ["1.0\t1099511627776.0\n", "1.0\tinf\n", "1.0\t1099511627776.0\n"]


@row("complex numbers, `longdouble` arrays, objects")
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("values", [np.array([1 + 2j, 3]), np.array([1, 3], np.longdouble)])
def test_types_that_cannot_travel(pair: Pair, values: Any) -> None:
    with pytest.raises(SnapshotError, match=r"has dtype .*, expected one of"):
        pair.ours_alone("add_histogram", "values", values, 1)
    pair.theirs_alone("add_histogram", "values", values, 1)
    (theirs,) = pair.values()[THEIRS]
    assert theirs.content[1][:2] == (1.0, 3.0)  # the smallest and the largest


@row("complex numbers, `longdouble` arrays, objects")
def test_a_longdouble_is_a_scalar(pair: Pair) -> None:
    pair.call("add_scalar", "loss", np.longdouble(0.5), 1, 1e9)
    pair.check()


@row("a text as a scalar")
def test_a_text_as_a_scalar(pairs: Pairs) -> None:
    pair = pairs(peer=PEERS["torch"])
    with pytest.raises(TypeError, match=r"is str '0.5', expected a number"):
        pair.ours_alone("add_scalar", "loss", "0.5", 1)
    pair.theirs_alone("add_scalar", "loss", "0.5", 1)
    assert [len(values) for values in pair.values()] == [0, 1]
    with pytest.raises(TypeError):
        pairs().theirs_alone("add_scalar", "loss", "0.5", 1)


@row("a step that is a text")
def test_a_step_that_is_a_text(pair: Pair) -> None:
    with pytest.raises(TypeError, match="global_step is str '7', expected an integer"):
        pair.ours_alone("add_scalar", "loss", 0.5, "7")
    pair.theirs_alone("add_scalar", "loss", 0.5, "7")
    assert [[value.step for value in values] for values in pair.values()] == [[], [7]]


@row("the two smallest steps")
@pytest.mark.parametrize("step", [-(2**63), -(2**63) + 1])
def test_the_two_smallest_steps(pair: Pair, step: int) -> None:
    with pytest.raises(ValueError, match="expected a 64-bit integer"):
        pair.ours_alone("add_scalar", "loss", 0.5, step)
    pair.theirs_alone("add_scalar", "loss", 0.5, step)
    assert [[value.step for value in values] for values in pair.values()] == [[], [step]]


@row("wall times that are NaN or infinite")
@pytest.mark.parametrize("wall_time", [math.nan, math.inf, -math.inf])
def test_wall_times_that_are_not_finite(pair: Pair, wall_time: float) -> None:
    with pytest.raises(ValueError, match=r"walltime is .*, expected finite seconds"):
        pair.ours_alone("add_text", "note", "text", 1, wall_time)
    pair.theirs_alone("add_text", "note", "text", 1, wall_time)
    assert [len(values) for values in pair.values()] == [0, 1]


@row("tags that cannot be")
@pytest.mark.parametrize("tag", ["", "/", "///", "a\0b", "x" * 1025, "\ud800"])
def test_tags_that_cannot_be(pair: Pair, tag: str) -> None:
    with pytest.raises(ValueError, match=r"^tag "):
        pair.ours_alone("add_scalar", tag, 0.5, 1)
    pair.theirs_alone("add_scalar", tag, 0.5, 1)
    assert [len(values) for values in pair.values()] == [0, 1]


@row("a title or a description above 4,096 bytes")
@pytest.mark.parametrize("name", ["display_name", "summary_description"])
def test_a_long_title(pair: Pair, name: str) -> None:
    long = {name: "x" * 4097}
    with pytest.raises(ValueError, match="limit 4,096: add_text takes longer texts"):
        pair.ours_alone("add_scalar", "loss", 0.5, 1, **long)
    pair.theirs_alone("add_scalar", "loss", 0.5, 1, **long)
    pair.call("add_scalar", "fits", 0.5, 1, 1e9, "x" * 4096, "y" * 4096)
    ours, theirs = pair.values()
    assert [value.tag for value in ours] == ["fits"]
    assert [value.tag for value in theirs] == ["fits", "loss"]
    assert ours[0] == theirs[0]


@row("half a surrogate in `add_text`")
def test_half_a_surrogate(pair: Pair) -> None:
    pair.ours_alone("add_text", "note", "a\ud800", 1)
    with pytest.raises(UnicodeEncodeError):
        pair.theirs_alone("add_text", "note", "a\ud800", 1)
    pair.close()
    (value,) = messages(pair.folders[OURS])
    assert list(value.tensor.string_val) == [b"a?"]


@row("a histogram with NaN or infinite values")
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_histogram_with_nan(pair: Pair, caplog: pytest.LogCaptureFixture, wrong: float) -> None:
    tag = f"values {wrong}"  # it is told of once per tag
    pair.ours_alone("add_histogram", tag, [1.0, wrong, 3.0], 1, 4)
    with pytest.raises(ValueError, match="finite"):
        pair.theirs_alone("add_histogram", tag, [1.0, wrong, 3.0], 1, 4)
    (ours,) = pair.values()[OURS]
    assert ours.content[1][:4] == (1.0, 3.0, 2.0, 4.0)
    assert "1 values are NaN or infinite, left out" in caplog.text


@row("sums of a histogram of more than 65,536 values")
def test_sums_of_a_large_histogram(pair: Pair) -> None:
    values = np.random.default_rng(0).standard_normal(300_000).astype(np.float32)
    pair.call("add_histogram", "values", values, 1)
    (ours,), (theirs,) = pair.values()
    assert ours.content[1] != theirs.content[1]
    assert ours.content[1] == pytest.approx(theirs.content[1], rel=1e-12)
    assert ours.content[1][:3] == theirs.content[1][:3]
    assert ours.content[2:] == theirs.content[2:]


@row("bins of a histogram")
@pytest.mark.parametrize("bins", ["stone", 65_537])
def test_bins_of_a_histogram(pair: Pair, bins: Any) -> None:
    with pytest.raises(ConfigError, match=f"bins is '?{bins}"):
        pair.ours_alone("add_histogram", "values", [1.0, 2.0, 2.5], 1, bins)
    pair.theirs_alone("add_histogram", "values", [1.0, 2.0, 2.5], 1, bins)
    assert [len(values) for values in pair.values()] == [0, 1]


@row("precision-recall curves with predictions that are NaN or outside 0..1")
@pytest.mark.parametrize("wrong", [2.0, -0.5, math.nan])
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_predictions_outside(pair: Pair, caplog: pytest.LogCaptureFixture, wrong: float) -> None:
    labels, predictions = np.ones(3), np.array([0.2, wrong, 0.9])
    pair.call("add_pr_curve", f"curve {wrong}", labels, predictions, 1, 11)
    pair.close()
    ours, theirs = (make_ndarray(messages(folder)[0].tensor)[0][0] for folder in pair.folders)
    assert theirs == 2  # true positives at a threshold of 0, of three
    assert ours == (2 if math.isnan(wrong) else 3)
    assert (
        "1 of 3 predictions are NaN, left out" if math.isnan(wrong) else "are outside 0..1, counted as"
    ) in caplog.text


def samples_of(folder: Path) -> np.ndarray:
    (value,) = messages(folder)
    with wave.open(io.BytesIO(value.audio.encoded_audio_string)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


@row("audio")
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_audio_with_nan(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    pair.call("add_audio", "clip", np.array([0.0, math.nan, 0.5]), 1)
    pair.close()
    ours, theirs = map(samples_of, pair.folders)
    assert ours.tolist() == [0, 0, 16384]
    assert theirs[1] != 0
    assert "1 samples are NaN, written as silence" in caplog.text


@row("audio")
def test_audio_in_another_byte_order(pair: Pair) -> None:
    sound = np.array([0.25, 0.5])
    pair.call("add_audio", "clip", sound.astype(">f4"), 1)
    pair.close()
    ours, theirs = map(samples_of, pair.folders)
    assert ours.tolist() == [8192, 16384]
    assert theirs.tolist() != ours.tolist()


@row("audio")
def test_audio_of_integers_and_halves(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    integers = np.array([0, 20_000, -20_000], np.int16)
    with pytest.raises(SnapshotError, match=r"is int16 \[3\], expected floats in -1\.\.1: int16 divided by 32768, say"):
        pair.ours_alone("add_audio", "integers", integers, 1)
    pair.theirs_alone("add_audio", "integers", integers, 1)
    halves = np.array([0.5, 1.5], np.float16)
    pair.ours_alone("add_audio", "halves", halves, 1)
    with pytest.raises(ValueError, match="float16"):
        pair.theirs_alone("add_audio", "halves", halves, 1)
    pair.close()
    ours, theirs = pair.folders
    assert samples_of(theirs).tolist() == [0, 1, -1]  # silence
    assert [value.tag for value in messages(ours)] == ["halves"]
    assert samples_of(ours).tolist() == [16384, 32767]
    assert "1 samples are outside -1..1, clipped" in caplog.text


@row("meshes in another form than `[batch, n, 3]`")
def test_meshes_in_another_form(pair: Pair) -> None:
    with pytest.raises(SnapshotError, match=r"vertices is float64 \[1, 5, 4\], expected \[batch, n, 3\]"):
        pair.ours_alone("add_mesh", "mesh", np.zeros((1, 5, 4)))
    pair.theirs_alone("add_mesh", "mesh", np.zeros((1, 5, 4)))
    assert [len(values) for values in pair.values()] == [0, 1]


@row("a mesh's `config_dict` above 32 KiB")
def test_a_long_configuration(pair: Pair) -> None:
    long = {"a": "x" * 32_768}
    with pytest.raises(ConfigError, match=r"config_dict is .* characters of JSON, limit 32,768"):
        pair.ours_alone("add_mesh", "mesh", np.zeros((1, 5, 3)), config_dict=long)
    pair.theirs_alone("add_mesh", "mesh", np.zeros((1, 5, 3)), config_dict=long)
    assert [len(values) for values in pair.values()] == [0, 1]


@row("a custom chart of an unknown kind")
@pytest.mark.parametrize("chart", [["margin", ["a", "b", "c"]], ["Multiline", "abc"]])
def test_a_chart_of_an_unknown_kind(pairs: Pairs, chart: list[Any]) -> None:
    pair, same = pairs(), pairs()
    with pytest.raises(ConfigError, match="chart"):
        pair.ours_alone("add_custom_scalars", {"category": {"chart": chart}})
    pair.theirs_alone("add_custom_scalars", {"category": {"chart": chart}})
    same.theirs_alone("add_custom_scalars", {"category": {"chart": ["Multiline", ["a", "b", "c"]]}})
    (theirs,), (lines,) = pair.values()[THEIRS], same.values()[THEIRS]
    assert theirs.content == lines.content


@row("`add_tensor` (torch's)")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
def test_add_tensor(pairs: Pairs, dtype: torch.dtype) -> None:
    tensor = torch.tensor([[1.5, 2, 3], [0, 250, 6]]).to(dtype)
    pair = pairs(peer=PEERS["torch"])
    pair.call("add_tensor", "tensor", tensor, 1)
    pair.close()
    (ours,), (theirs,) = map(messages, pair.folders)
    if dtype is torch.bfloat16:  # numpy has none
        found = torch.tensor(list(ours.tensor.half_val), dtype=torch.uint16).view(dtype).reshape(2, 3)
    else:
        found = torch.from_numpy(make_ndarray(ours.tensor))
    torch.testing.assert_close(found, tensor, rtol=0, atol=0)
    if dtype is torch.uint8:
        assert list(theirs.tensor.uint32_val) == tensor.flatten().tolist()  # tensor.proto: int_val
        assert list(theirs.tensor.int_val) == []
    else:
        assert max(theirs.tensor.half_val) > 0xFFFF  # no half has so many bits


@row("ONNX models as JSON or text")
@pytest.mark.parametrize("ending", ["json", "textproto"])
def test_onnx_models_as_text(pair: Pair, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"net.{ending}"
    onnx.save(onnx.load(model_file(tmp_path)), path)
    rejected = pair.ours.statistics().rejected
    pair.call("add_onnx_graph", str(path))
    ours, theirs = pair.values()
    assert ours == []
    assert [value.content[0] for value in theirs] == ["graph"]
    assert pair.ours.statistics().rejected == rejected + 1
