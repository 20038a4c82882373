"""What the node counts for Prometheus as it happens: counters and times of this process, counted where it was done.

They are kept in the process and not in the database. A counter that reads its table falls when history is deleted and
costs a scrape more with every study; one that is a row of a table is a row that every transaction would wait for. The
process that runs the node does all the work that is counted here: it imports the receipts of the receiving processes,
decides, runs the jobs, sends, and answers by HTTP. So nothing is counted twice, also where several nodes share a
database: each counts what it did itself, and the figures of all are added up. A start sets them to 0, which Prometheus
knows (``rate`` and ``increase``); what is done between the last scrape and the end of a node is not seen, nor is what
an operator does with a command, which is a process of its own: it stands in the audit trail.

What a transaction changed is counted once it is committed: `node.database.after_commit`. Label values are names of the
configuration, of pipelines and of states, and nothing that a stranger can choose: no AE title, no address, no UID.
How things stand, beside what has happened, is read from the records at each scrape: `node.status.metrics`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # when a counter began is one more series for each, and Prometheus finds resets without it

REGISTRY = CollectorRegistry()
"""Of this process."""

ProcessCollector(registry=REGISTRY)

STEP_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000)
LATENCY_S = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
STEPS = ("prepare", "infer", "encode", "hand over")  # of every job
ANSWERS = ("delivered", "refused", "skipped")  # what becomes of an object at a destination
WAYS = ("dimse", "stow", "folder", "orthanc", "fetch", "import")  # in which instances come

# ---- reception
INSTANCES_RECEIVED = Counter(
    "condyle_instances_received_total", "Instances stored, without repeats", ["way"], registry=REGISTRY
)
RECEIVED_BYTES = Counter(
    "condyle_received_bytes_total", "Size of the instances stored, without repeats", ["way"], registry=REGISTRY
)
INSTANCES_REPEATED = Counter(
    "condyle_instances_repeated_total", "Instances stored that were known already", ["way"], registry=REGISTRY
)
INSTANCES_NOT_STORED = Counter(
    "condyle_instances_not_stored_total", "Instances that were not stored, by status", ["status"], registry=REGISTRY
)
ASSOCIATIONS = Counter(
    "condyle_associations_total",
    "Associations and other ways in that have ended or were refused, by outcome",
    ["way", "outcome"],
    registry=REGISTRY,
)

# ---- decisions and jobs
DECISIONS = Counter(
    "condyle_decisions_total", "Decisions about complete series and studies", ["route", "matched"], registry=REGISTRY
)
JOBS_ENDED = Counter(
    "condyle_jobs_ended_total",
    "Jobs that have ended, once for each time that they did",
    ["pipeline", "route", "state"],
    registry=REGISTRY,
)
QUEUE_WAIT = Histogram(
    "condyle_queue_wait_seconds",
    "From queued to the first step",
    ["pipeline", "route"],
    buckets=LATENCY_S,
    registry=REGISTRY,
)
STEP = Histogram(
    "condyle_step_seconds",
    "How long the steps of jobs took",
    ["pipeline", "route", "step"],
    buckets=STEP_S,
    registry=REGISTRY,
)
LATENCY = Histogram(
    "condyle_result_latency_seconds",
    "From the last image of a series or study to the delivery of all that the job made of it",
    ["pipeline", "route"],
    buckets=LATENCY_S,
    registry=REGISTRY,
)
WORKERS = Gauge("condyle_workers", "Processes that run pipelines", registry=REGISTRY)
WORKERS_BUSY = Gauge(
    "condyle_workers_busy", "Processes that are at a step of a job", ["pipeline", "step"], registry=REGISTRY
)

# ---- sending
DELIVERIES = Counter(
    "condyle_deliveries_total", "Objects that a destination answered for", ["destination", "outcome"], registry=REGISTRY
)
DELIVERED_BYTES = Counter(
    "condyle_delivered_bytes_total", "Size of the objects that a destination took", ["destination"], registry=REGISTRY
)
CONFIRMED = Counter(
    "condyle_deliveries_confirmed_total", "Objects that a destination says it keeps", ["destination"], registry=REGISTRY
)
DELIVERY_RETRIES = Counter(
    "condyle_delivery_retries_total",
    "Tries that failed and are made again, of an object or of a whole job while the destination cannot be reached",
    ["destination"],
    registry=REGISTRY,
)


def begin(
    routes: Iterable[tuple[str, str]],
    destinations: Iterable[str],
    ends: Sequence[str],
    outcomes: Sequence[str],
    statuses: Sequence[str],
) -> None:
    """Have the series of a configuration be there with 0: what appears with 1 has no increase to be seen.

    Parameters
    ----------
    routes
        Name and pipeline of each.
    destinations
        Their names.
    ends
        States in which jobs end.
    outcomes
        How associations end.
    statuses
        With which instances are not stored.
    """
    for way in WAYS:
        for counter in (INSTANCES_RECEIVED, RECEIVED_BYTES, INSTANCES_REPEATED):
            counter.labels(way)
        for outcome in outcomes:
            ASSOCIATIONS.labels(way, outcome)
    for status in statuses:
        INSTANCES_NOT_STORED.labels(status)
    for route, pipeline in routes:
        for matched in ("true", "false"):
            DECISIONS.labels(route, matched)
        for state in ends:
            JOBS_ENDED.labels(pipeline, route, state)
        QUEUE_WAIT.labels(pipeline, route)
        LATENCY.labels(pipeline, route)
        for step in STEPS:
            STEP.labels(pipeline, route, step)
            if step != "hand over":
                WORKERS_BUSY.labels(pipeline, step)
    for destination in destinations:
        for answer in ANSWERS:
            DELIVERIES.labels(destination, answer)
        for counter in (DELIVERED_BYTES, DELIVERY_RETRIES, CONFIRMED):
            counter.labels(destination)
