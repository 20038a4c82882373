"""The pipelines that a worker keeps in memory."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping

from pipelines import registry
from pipelines.loading import LoadedPipeline

KEEP_WARM = 8  # pipelines, the least recently used goes first


class Warm:
    """Pipelines by name and settings."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, LoadedPipeline] = OrderedDict()

    def get(self, name: str, settings: Mapping[str, object]) -> LoadedPipeline:
        """The pipeline of that name with those settings; its weights are loaded when they are needed.

        Parameters
        ----------
        name
            Of the pipeline, as it is registered.
        settings
            Of the route, for the pipeline.
        """
        key = hashlib.sha256(json.dumps([name, settings], sort_keys=True).encode()).hexdigest()
        if key not in self._kept:
            self._kept[key] = LoadedPipeline(registry.pipeline_type(name), settings)
            while len(self._kept) > KEEP_WARM:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
