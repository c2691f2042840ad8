"""The equipment of the torture test (``scripts/torture.py``): faults, workers, a proxy, a strict reader, the check."""
