"""SummaryWriter: what a training script calls. Every call selects, copies and appends; nothing here waits.

No socket, no disk, no synchronization with a device: those belong to the sender thread and to the daemon.
"""

from __future__ import annotations

from sidelog.writer.distributions import DistributionCalls
from sidelog.writer.file_writer import SummaryCalls
from sidelog.writer.media import MediaCalls
from sidelog.writer.pictures import PictureCalls
from sidelog.writer.scalars import ScalarCalls


class SummaryWriter(ScalarCalls, PictureCalls, DistributionCalls, MediaCalls, SummaryCalls):
    """Logs one run through the sidecar daemon; tensorboardX's signatures where it has the call.

    The first writer on a machine starts the local daemon; every later one finds it. The constructor returns at
    once: records wait until the daemon is there.

    Args:
        logdir: folder of the run. Default: ``runs/<date>_<host><comment>``. Rank k of a job writes to
            ``<logdir>/rank_k``, rank 0 to ``logdir`` itself. With a ``tcp://`` endpoint it is a name relative to
            the daemon's ``--logdir``.
        comment: appended to the default ``logdir``; without effect when ``logdir`` is given.
        purge_step: a training that begins again at this step: TensorBoard hides what stood there with it or a later
            one.
        max_queue: without effect: nothing waits for a queue.
        flush_secs: without effect: what is logged stands in the event file within a second.
        filename_suffix: without effect: the names of event files are the daemon's.
        write_to_disk: False turns every call into a no-op.
        log_dir: another name for ``logdir``.
        comet_config: accepted where it is disabled.
        endpoint: a daemon started by hand: ``tcp://HOST:PORT`` or ``ipc://PATH``. Default: ``SIDELOG_ENDPOINT``,
            else this user's local daemon.
        rank: ``"auto"`` takes it from ``torch.distributed`` or the launcher's environment; an integer says it;
            None keeps ``logdir`` as given.

    Raises:
        ConfigError: a folder that cannot be written, an endpoint or an environment variable that cannot work.
    """
