"""The sidecar process: receives records, renders pictures, writes TensorBoard event files."""

from __future__ import annotations

__all__: list[str] = []
