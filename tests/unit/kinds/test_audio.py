"""Sound: tensorboardX's WAV, and what is not sound."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from kind_records import NOW, TAG, events, record

from sidelog_daemon.kinds import make_content
from sidelog_shared.errors import MissingExtra, SnapshotError
from sidelog_shared.records import Kind
from tensorboardx_events import parsed, theirs

SHAPES = st.one_of(st.tuples(st.integers(1, 30)), st.tuples(st.integers(1, 30), st.integers(1, 2)))


@given(
    samples=SHAPES.flatmap(
        lambda shape: st.sampled_from([np.float32, np.float64]).flatmap(
            lambda dtype: npst.arrays(dtype, shape, elements=st.floats(-1, 1, width=32))
        )
    ),
    sample_rate=st.sampled_from([8000, 44100, 48000, 1]),
)
def test_samples(tmp_path_factory: pytest.TempPathFactory, samples: np.ndarray, sample_rate: int) -> None:
    expected = theirs(tmp_path_factory.mktemp("x"), lambda writer: writer.add_audio(TAG, samples, 3, sample_rate, NOW))
    assert events(record(Kind.AUDIO, samples, sample_rate=sample_rate)) == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_samples_that_soundfile_does_not_take_are_widened(dtype: torch.dtype) -> None:
    samples = torch.linspace(-1, 1, 40).to(dtype)
    assert events(record(Kind.AUDIO, samples, sample_rate=100)) == events(
        record(Kind.AUDIO, samples.float(), sample_rate=100)
    )


def test_noise_is_made_sound_and_said() -> None:
    samples = np.array([[0.5, 2.0], [np.nan, -np.inf], [np.nan, 1.0]], np.float32)
    content = make_content(record(Kind.AUDIO, samples, sample_rate=100))
    assert content.warning == "2 samples are NaN, written as silence; 2 samples are outside -1..1, clipped"
    (event,) = parsed(*content.events)
    sound, rate = soundfile.read(io.BytesIO(event.summary.value[0].audio.encoded_audio_string))
    assert rate == 100
    np.testing.assert_allclose(sound, [[0.5, 1.0], [0, -1.0], [0, 1.0]], atol=1e-4)


@pytest.mark.parametrize("shape", [(0,), (0, 2), (3, 3), (3, 0), (), (2, 1, 1)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SnapshotError, match=r"audio samples have shape .*, expected \[frames\], or"):
        make_content(record(Kind.AUDIO, np.zeros(shape, np.float32), sample_rate=100))


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.bool_])
def test_integers_are_refused(dtype: type[np.generic]) -> None:
    with pytest.raises(SnapshotError, match=r"audio samples are \w+, expected floats in -1\.\.1"):
        make_content(record(Kind.AUDIO, np.zeros(4, dtype), sample_rate=100))


def test_without_soundfile_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtra, match=r'^add_audio needs .*: run  pip install "sidelog\[media\]"$'):
        make_content(record(Kind.AUDIO, np.zeros(4, np.float32), sample_rate=100))
