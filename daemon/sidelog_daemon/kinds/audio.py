"""AUDIO: ``SummaryWriter.add_audio``. Samples become a WAV file of 16 bits, by the package soundfile."""

from __future__ import annotations

import numpy as np

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.render.tensors import Array
from sidelog_daemon.sink import summaries
from sidelog_daemon.tensorboardx import summary
from sidelog_shared.errors import MissingExtra, SnapshotError
from sidelog_shared.records import Record


def audio_content(record: Record) -> Content:
    """Samples ``[frames]`` or ``[frames, channels]``, floats in -1..1.

    What is NaN becomes silence and what is louder is clipped, both with a warning; tensorboardX writes noise for the
    one and prints for the other.

    Raises:
        MalformedHeader: not one buffer, or no sample rate.
        SnapshotError: another shape or dtype, or a sample rate that WAV does not have.
        MissingExtra: soundfile is not installed.
    """
    fields.check_count(record, 1)
    sample_rate = fields.options(record).integer("sample_rate", 1, 2**31 - 1)
    samples = fields.tensor(record, 0)
    if samples.dtype.kind != "f":
        # As integers these would be steps of 1/32768, and tensorboardX clips them to -1..1: silence.
        raise SnapshotError(f"audio samples are {samples.dtype}, expected floats in -1..1")
    if not samples.size or not (samples.ndim == 1 or (samples.ndim == 2 and samples.shape[1] in (1, 2))):
        raise SnapshotError(f"audio samples have shape {list(samples.shape)}, expected [frames], or [frames, channels] "
                            f"with 1 or 2 channels, and at least one frame")  # fmt: skip
    samples, warning = _within_range(samples)
    try:
        message = summary.audio(record.tag, samples, sample_rate)
    except (ImportError, OSError) as error:  # OSError: the package is there, its libsndfile is not
        raise MissingExtra("soundfile", "media", "add_audio") from error
    except RuntimeError as error:  # soundfile.LibsndfileError
        raise SnapshotError(f"audio of {len(samples):,} frames at {sample_rate:,} per second: {error}") from None
    return Content((summaries.summary_event(message, record.step, record.wall_time),), warning=warning)


def _within_range(samples: Array) -> tuple[Array, str]:
    """Floats that soundfile takes, in -1..1, and what had to be changed for it."""
    sound = samples.astype(np.float64 if samples.dtype == np.float64 else np.float32)
    warnings = []
    silent = np.isnan(sound)
    nans = np.count_nonzero(silent)
    if nans:
        sound[silent] = 0
        warnings.append(f"{nans:,} samples are NaN, written as silence")
    loud = np.count_nonzero(np.abs(sound) > 1)
    if loud:
        np.clip(sound, -1, 1, out=sound)
        warnings.append(f"{loud:,} samples are outside -1..1, clipped")
    return sound, "; ".join(warnings)
