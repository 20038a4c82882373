"""What the node has counted meanwhile, of the counters that the whole process shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from node.metrics import REGISTRY

Counts = dict[tuple[str, ...], float]
"""By the name of a sample and its label values, in the order of the labels' names."""


def counts() -> Counts:
    """All of them as they are now; buckets of histograms are left out."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if not sample.name.startswith("process_") and not sample.name.endswith("_bucket")
    }


@contextmanager
def counting() -> Iterator[Counts]:
    """Afterwards: what has been added inside, of those to which anything was."""
    before = counts()
    added: Counts = {}
    yield added
    added.update({key: more for key, value in counts().items() if (more := value - before.get(key, 0))})
