"""The inference process: keeps pipelines warm and does what the node asks, one request at a time.

Started as ``python -m node.run.worker FILE_DESCRIPTOR`` by `node.run.pool`. Requests and answers are small JSON;
studies, results and objects lie in the job's folder. It may be killed at any moment, and ends by itself when the node
is gone.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pydicom

import node.log
from dicom_sr.errors import DicomError, EncodingError, UnsuitableInput
from dicom_sr.findings import Model, NotRun, Result
from dicom_sr.profile import EncodedObject, EncodingProfile
from node.files import write_whole
from node.run.job_folder import JobFolder, on_disk
from node.run.result_summary import summary
from node.study.sealing import seal
from pipelines import registry
from pipelines.base import Pipeline

log = logging.getLogger("node.run.worker")  # the module is run as __main__

ENCODERS = "dicom_sr.write.encode"  # a second or two to import
KEEP_WARM = 8  # pipelines, the least recently used goes first
IDENTIFYING = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "PatientAddress", "AccessionNumber")


class Warm:
    """Pipelines by name and settings, loaded once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Pipeline] = OrderedDict()
        self._loaded: set[str] = set()

    def get(self, name: str, settings: Mapping[str, Any], *, load: bool) -> Pipeline:
        """The pipeline of that name with those settings; with `load`, its weights are in memory."""
        key = hashlib.sha256(json.dumps([name, settings], sort_keys=True).encode()).hexdigest()
        if key not in self._kept:
            pipeline_type = registry.pipeline_type(name)
            self._kept[key] = pipeline_type(pipeline_type.settings_type(**settings))
            while len(self._kept) > KEEP_WARM:
                gone, _ = self._kept.popitem(last=False)
                self._loaded.discard(gone)
        self._kept.move_to_end(key)
        if load and key not in self._loaded:
            self._kept[key].load()
            self._loaded.add(key)
        return self._kept[key]


def check(request: Mapping[str, Any], warm: Warm) -> dict[str, Any]:
    """Hold the study against the pipeline's input contract."""
    folder = JobFolder(Path(request["folder"]))
    pipeline = warm.get(request["pipeline"], request["settings"], load=False)
    pipeline.check(folder.read_study())
    answer = {"version": pipeline.version}
    folder.write_json("checked.json", answer)
    return answer


def infer(request: Mapping[str, Any], warm: Warm) -> dict[str, Any]:
    """Run the pipeline and keep its result in the job's folder."""
    folder = JobFolder(Path(request["folder"]))
    pipeline = warm.get(request["pipeline"], request["settings"], load=True)
    study = folder.read_study()
    prior, remark = folder.read_prior()
    context = folder.read_context() if pipeline.needs_context else None
    start = time.perf_counter()
    result = pipeline.run(replace(study, series=(*study.series, *prior)), context)
    seconds = time.perf_counter() - start
    if remark:
        result = replace(result, limits=(*result.limits, remark))
    folder.write_json("summary.json", summary(result))
    return folder.write_result(result, {"seconds": seconds, "version": pipeline.version})


def encode(request: Mapping[str, Any], warm: Warm) -> dict[str, Any]:
    """Write the result, or that there is none, as DICOM objects in the job's folder, once per profile."""
    from dicom_sr.write.encode import encode as encode_objects  # a second or two, so not before the first request

    folder = JobFolder(Path(request["folder"]))
    registry.pipeline_type(request["pipeline"])  # its package makes the codes of the result known here
    what = _result(request, folder) if request.get("result") else _not_run(request, folder, warm)
    if revision := request.get("revision"):
        what = replace(what, model=_revised(what.model, revision))
    predecessors = [EncodedObject(**{**fields, "path": Path(fields["path"])}) for fields in request["predecessors"]]
    created = datetime.fromisoformat(request["created"])
    objects: dict[str, dict[str, Any]] = {}
    for name, profile in request["profiles"].items():
        made = encode_objects(what, _profile(profile), created, folder.objects / name, predecessors, folder.path.name)
        for item in (_sealed(item, folder.key_file) for item in made):
            known = objects.setdefault(item.sop_instance_uid, _line(item))
            if known["sha256"] != item.sha256:
                raise EncodingError(f"{item.kind} {item.sop_instance_uid} comes out differently for two destinations")
            known["twin_of"][name] = item.twin_of
    on_disk(Path(line["path"]) for line in objects.values())
    sha256 = folder.write_json("objects.json", {"of": request["of"], "objects": list(objects.values())})
    return {"sha256": sha256, "objects": len(objects)}


def _revised(model: Model, revision: str) -> Model:
    """The model with another digest of its settings: what it says of replaced images has UIDs of its own."""
    digest = hashlib.sha256(f"{model.configuration_digest}|{revision}".encode()).hexdigest()
    return replace(model, configuration_digest=digest)


def _sealed(item: EncodedObject, key_file: Path | None) -> EncodedObject:
    """The object as it is to lie in the job's folder: a FHIR resource is sealed as the patient's record is."""
    if item.kind != "risk_assessment":
        return item
    content = seal(item.path.read_bytes(), key_file)
    write_whole(item.path, content, sync="never", mode=0o600)
    return replace(item, sha256=hashlib.sha256(content).hexdigest())


def _line(item: EncodedObject) -> dict[str, Any]:
    """One object as ``objects.json`` lists it."""
    return {
        "kind": item.kind,
        "sop_class_uid": item.sop_class_uid,
        "sop_instance_uid": item.sop_instance_uid,
        "series_instance_uid": item.series_instance_uid,
        "study_instance_uid": item.study_instance_uid,
        "path": str(item.path),
        "order": item.order,
        "sha256": item.sha256,
        "size": item.path.stat().st_size,
        "twin_of": {},  # by profile: what stands in for something in one may be what another asks for
    }


def _result(request: Mapping[str, Any], folder: JobFolder) -> Result:
    result = folder.read_result(request["result"])
    return replace(result, predecessor_sop_instance_uids=tuple(p["sop_instance_uid"] for p in request["predecessors"]))


def _not_run(request: Mapping[str, Any], folder: JobFolder, warm: Warm) -> NotRun:
    pipeline = warm.get(request["pipeline"], request["settings"], load=False)
    return NotRun(pipeline.model, pipeline.title, folder.read_study().series, request["reason"])


def _profile(fields: Mapping[str, Any]) -> EncodingProfile:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    return EncodingProfile(**values)


TASKS: dict[str, Callable[[Mapping[str, Any], Warm], dict[str, Any]]] = {
    "check": check,
    "infer": infer,
    "encode": encode,
}


def answer(request: Mapping[str, Any], warm: Warm) -> dict[str, Any]:
    """Do one request; whatever goes wrong becomes an answer."""
    try:
        with node.log.bound(job=Path(request["folder"]).name):
            return TASKS[request["do"]](request, warm)
    except UnsuitableInput as error:
        return {"unsuitable": without_identity(str(error), request)}
    except DicomError as error:
        return {"failed": without_identity(str(error), request)}
    except Exception as error:  # noqa: BLE001 (the worker's loop: a bug in a pipeline costs one job)
        log.error(
            "%s failed\n%s",
            request["do"],
            without_identity(traceback.format_exc(), request),
            extra={"pipeline": request.get("pipeline")},
        )
        return {"failed": without_identity(f"{type(error).__name__}: {error}", request)}


def without_identity(text: str, request: Mapping[str, Any]) -> str:
    """`text` without what identifies the patient: a library's message may quote a data element's value."""
    note = JobFolder(Path(request["folder"])).read_json("study.json") or {"paths": []}
    for path in note["paths"][:1]:
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(IDENTIFYING), force=True)
        except Exception:  # noqa: BLE001 (a file that broke the job may break this as well)
            return "the images cannot be read"
        values = {part for element in ds for part in _parts(str(element.value)) if len(part) > 2}
        for value in sorted(values, key=len, reverse=True):
            text = text.replace(value, "***")
    return text


def _parts(value: str) -> list[str]:
    return [value, *value.replace("=", "^").split("^")]


def end_with_the_node(descriptor: int) -> None:
    """Wait until the other end of the connection is closed, then end this process, whatever it is doing."""
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    poll.poll()
    os._exit(1)


def keep_warm(waiting: list[Any], warm: Warm) -> None:
    """Load the next pipeline of the list, or the encoders; what cannot be loaded says so when a job needs it."""
    name, settings = waiting.pop(0)
    try:
        if name == ENCODERS:
            importlib.import_module(ENCODERS)
        else:
            warm.get(name, settings, load=True)
    except Exception:  # the worker's loop
        log.exception("cannot load pipeline beforehand", extra={"pipeline": name})


def main(descriptor: int) -> None:
    """Answer requests until the node goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the node's to handle
    node.log.configure()
    threading.Thread(target=end_with_the_node, args=(descriptor,), daemon=True).start()
    try:  # should memory run out, rather this process than the node
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        log.debug("cannot set oom_score_adj")
    connection, warm, to_load = Connection(descriptor), Warm(), list[Any]()
    connection.send_bytes(b"{}")  # started
    while True:
        if to_load and not connection.poll(0):
            keep_warm(to_load, warm)
            continue
        try:
            request = json.loads(connection.recv_bytes())
        except EOFError:
            return
        if request["do"] == "warm":
            to_load = [*request["pipelines"], (ENCODERS, {})]
        else:
            connection.send_bytes(json.dumps(answer(request, warm)).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
