"""Hypothesis strategies for messages of the protocol."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from sidelog_shared import dtypes, replies, requests
from sidelog_shared.client_view import Backlog, ClientView
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import MIB, STEP_MAX, STEP_MIN, Limits
from sidelog_shared.missing import Missing
from sidelog_shared.records import (
    BufferSpec,
    End,
    Kind,
    Lane,
    LaneState,
    Record,
    Refusal,
    RunMarks,
    ScalarColumns,
    Series,
    Worker,
)
from sidelog_shared.report import DaemonReport, RunReport, WorkerReport

UINT31 = 2**31 - 1
UINT63 = 2**63 - 1

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
tags = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40).filter(
    lambda tag: tag.strip("/")
)
runs = st.integers(0, UINT31)
seqs = st.integers(1, UINT63)
epochs = st.integers(0, 2**32 - 1)
steps = st.none() | st.integers(STEP_MIN, STEP_MAX)
times = st.floats(allow_nan=False, allow_infinity=False)
workers = st.builds(
    Worker,
    id=st.text("0123456789abcdef", min_size=16, max_size=16),
    host=texts,
    pid=st.integers(0, UINT63),
    rank=st.none() | st.integers(0, UINT31),
    world_size=st.none() | st.integers(1, UINT31),
)
hellos = st.builds(
    requests.Hello,
    worker=workers,
    features=st.lists(texts, max_size=5).map(tuple),
    next_seq=st.fixed_dictionaries(dict.fromkeys(Lane, seqs)),
)


@st.composite
def scalars(draw: st.DrawFn) -> requests.Scalars:
    count = draw(st.integers(1, 20))
    series = draw(st.lists(st.builds(Series, runs, tags, texts, texts), min_size=1, max_size=5))

    def column(elements: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(elements, min_size=count, max_size=count))

    return requests.Scalars(
        ScalarColumns(
            draw(st.integers(1, UINT63 - count)),
            tuple(series),
            np.array(column(st.integers(0, len(series) - 1)), np.uint32),
            np.array(column(st.integers(-(2**63), STEP_MAX)), np.int64),
            np.array(column(times), np.float64),
            np.array(column(st.floats()), np.float64),
        )
    )


@st.composite
def records(draw: st.DrawFn, *, storage: str = "frame") -> requests.RecordMessage:
    specs = draw(
        st.lists(
            st.builds(
                BufferSpec,
                st.sampled_from(dtypes.ALL),
                st.lists(st.integers(1 if storage == "parts" else 0, 4), max_size=3).map(tuple),
                st.just(storage),
            ),
            min_size=1 if storage == "parts" else 0,
            max_size=3,
        )
    )
    record = Record(
        lane=draw(st.sampled_from(Lane)),
        seq=draw(seqs),
        run=draw(runs),
        kind=draw(st.sampled_from(Kind)),
        tag=draw(tags),
        step=draw(steps),
        wall_time=draw(times),
        options=draw(st.dictionaries(texts, st.integers(0, 9) | texts | st.booleans() | st.none(), max_size=3)),
        specs=tuple(specs),
        buffers=tuple(draw(st.binary(min_size=spec.nbytes, max_size=spec.nbytes)) for spec in specs),
    )
    return requests.RecordMessage(record)


counts = st.dictionaries(texts, st.integers(0, UINT63), max_size=5)
spans = st.integers(0, 10**9).map(lambda milliseconds: round(milliseconds / 1000, 3))
backlogs = st.builds(Backlog, st.integers(0, UINT63), st.integers(0, UINT63))
views = st.builds(
    ClientView,
    lanes=st.fixed_dictionaries(dict.fromkeys(Lane, backlogs)),
    spool=backlogs,
    dropped=st.integers(0, UINT63),
    dropped_tags=counts,
    lost=counts,
    lag_s=spans,
)
worker_reports = st.builds(
    WorkerReport,
    worker=workers,
    state=texts,
    known_s=spans,
    heard_s=spans,
    runs=st.lists(texts, max_size=5).map(tuple),
    received_records=st.integers(0, UINT63),
    received_bytes=st.integers(0, UINT63),
    records_per_s=spans,
    bytes_per_s=spans,
    ends=st.fixed_dictionaries(dict.fromkeys(End, st.integers(0, UINT63))),
    unsettled=st.integers(0, UINT63),
    render=backlogs,
    dropped_tags=counts,
    refused=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    faults=counts,
    last_error=texts,
    last_error_s=st.none() | spans,
    client=st.none() | views,
    client_s=st.none() | spans,
)
run_reports = st.builds(
    RunReport,
    path=texts,
    workers=st.lists(texts, max_size=3).map(tuple),
    written=st.integers(0, UINT63),
    pending_bytes=st.integers(0, UINT63),
    error=texts,
    failing_s=st.none() | spans,
)
daemon_reports = st.builds(
    DaemonReport,
    instance=texts,
    pid=st.integers(0, UINT63),
    version=texts,
    minor=st.integers(0, 255),
    logdir=texts,
    state=texts,
    uptime_s=spans,
    render=backlogs,
    budget_bytes=st.integers(0, UINT63),
    faults=counts,
    workers=st.lists(worker_reports, max_size=1).map(tuple),
    worker_count=st.integers(0, UINT63),
    runs=st.lists(run_reports, max_size=1).map(tuple),
    run_count=st.integers(0, UINT63),
)
parts = st.builds(
    requests.Part,
    lane=st.sampled_from(Lane),
    seq=seqs,
    buffer=st.integers(0, 15),
    offset=st.integers(0, UINT63),
    data=st.binary(max_size=40),
)
missing = st.lists(st.builds(Missing, runs, texts, texts, st.integers(1, UINT63)), max_size=5).map(tuple)
simple_requests = (
    hellos
    | st.builds(requests.OpenRun, runs, texts, st.none() | st.floats(allow_nan=False, allow_infinity=False))
    | st.builds(requests.CloseRun, runs, missing)
    | st.builds(requests.Flush)
    | st.builds(requests.Heartbeat, st.none() | views)
    | st.builds(requests.Inquire)
    | st.builds(requests.Bye, missing, st.booleans())
    | parts
    | records()
)

ranges = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 5)), max_size=8).map(
    lambda pairs: [(first, first + more) for first, more in pairs]
)
interval_sets = st.builds(IntervalSet, ranges)
statuses = st.builds(
    replies.Status,
    lanes=st.fixed_dictionaries(
        {
            lane: st.builds(
                LaneState,
                interval_sets,
                interval_sets,
                st.fixed_dictionaries({end: st.integers(0, UINT63) for end in End}),
            )
            for lane in Lane
        }
    ),
    dropped_tags=st.dictionaries(tags, st.integers(0, UINT63), max_size=5),
    troubles=st.lists(st.builds(replies.Trouble, st.integers(0, UINT63), texts), max_size=8).map(tuple),
)
all_replies = (
    st.builds(
        replies.Welcome,
        instance=st.text("0123456789abcdef", min_size=16, max_size=16),
        known=st.booleans(),
        logdir=texts,
        limits=st.builds(Limits, st.integers(MIB, UINT63), st.integers(MIB, UINT63)),
        status=statuses,
        features=st.lists(texts, max_size=5).map(tuple),
    )
    | st.builds(
        replies.Opened,
        runs,
        st.builds(
            RunMarks, st.integers(0, UINT63), st.integers(0, UINT63), interval_sets.map(lambda s: tuple(s.ranges()))
        ),
    )
    | st.builds(replies.Refused, st.sampled_from(Refusal), texts, st.none() | runs, texts)
    | st.builds(replies.State, statuses)
    | st.builds(replies.Reset)
    | st.builds(replies.Draining)
    | st.builds(replies.Goodbye, statuses)
    | st.builds(replies.Report, daemon_reports)
)
