"""What the workers of the bench log at each step: maps as a residual network has them, and scalars."""

from __future__ import annotations

MAPS: dict[str, tuple[int, int, int]] = {
    "stem": (64, 112, 112),
    **{f"layer1.{block}": (64, 56, 56) for block in range(3)},
    **{f"layer2.{block}": (128, 28, 28) for block in range(3)},
    **{f"layer3.{block}": (256, 14, 14) for block in range(3)},
    **{f"layer4.{block}": (512, 7, 7) for block in range(2)},
}
"""``[C, H, W]`` of float32 by tag: a dozen, of 0.1 to 3.2 MB."""
SCALARS = ("loss", "rate")
STEP_BYTES = sum(4 * channels * height * width for channels, height, width in MAPS.values())
EVENT_BYTES = 50_000
"""Of one map in the event file, on the average; generously."""
