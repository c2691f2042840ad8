"""What each method of the writer costs its caller, beside the peer's in one run: ``sidelog bench --only methods``.

rows      the calls that are compared, and why one of them may be slower
sides     a logger and its writers: opened, awaited, closed
measure   the two take turns; medians, 99th percentiles, and how sure their ratio is
tables    the tables of the documentation
"""

from sidelog.bench.methods.measure import measure_methods
from sidelog.bench.methods.rows import METHODS

__all__ = ["METHODS", "measure_methods"]
