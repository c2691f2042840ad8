"""The parts of ``scripts/bench_render.py``: what the daemon's drawing and writing costs, beside what it replaces."""
