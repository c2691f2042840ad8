"""The protocol that the training process and the daemon speak: records, frames, limits, errors."""

from __future__ import annotations

__all__: list[str] = []
