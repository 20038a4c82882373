"""The inference process: keeps pipelines warm and does what the node asks, one request at a time.

Started as ``python -m node.run.worker FILE_DESCRIPTOR`` by `node.run.pool`. Requests and answers are small JSON;
studies, results and objects lie in the job's folder. It may be killed at any moment, and ends by itself when the node
ends.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import select
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import node.log
from dicom_sr.errors import DicomError, EncodingError, UnsuitableInput
from dicom_sr.findings import Model, NotRun, Result
from dicom_sr.profile import FOREIGN_KINDS, EncodedObject
from dicom_sr.versions import NOTHING_EARLIER
from node.box import settle_in
from node.data_folder import keep_private
from node.files import FULL, is_full, write_whole
from node.run import messages
from node.run.example_run import try_out
from node.run.job_folder import SUMMARY, Damaged, JobFolder, on_disk
from node.run.messages import (
    Answer,
    Check,
    Checked,
    Encode,
    Encoded,
    Failed,
    Infer,
    Inferred,
    JobRequest,
    Load,
    Ready,
    SeriesEncoded,
    Settings,
    Try,
    Unsuitable,
    Waits,
)
from node.run.moment import moment_of
from node.run.notes import CheckNote, ObjectsNote, SeriesNote, StudyNote
from node.run.result_summary import summary
from node.run.warm import Warm
from node.study.identity_in_text import identity_of, without
from node.study.images import away
from node.study.sealing import seal
from pipelines import registry
from pipelines.base import answers_from_record
from pipelines.bundle import BundleError

log = logging.getLogger("node.run.worker")  # the module is run as __main__

Tell = Callable[[SeriesEncoded], None]
ENCODERS = "dicom_sr.write.encode"  # a second or two to import
NO_RECORD = "no record of this patient has reached the node"
BROKE = 70  # exit code of a worker whose native code panicked: it has died
_BROKE = {  # what an operator is told of an error that nobody foresaw
    "check": "the pipeline broke while it looked at the images; the log says where",
    "infer": "the pipeline broke while it ran; the log says where",
    "encode": "the results could not be written as objects; the log says where",
    "try": "the pipeline broke on its example study; the log says where",
}


def check(asked: Check, warm: Warm) -> Checked:
    """Hold the study against the pipeline's input contract."""
    folder = JobFolder(asked.folder, asked.key_file)
    pipeline = warm.get(asked.pipeline, asked.settings).fresh()
    pipeline.check(folder.read_study())
    if answers_from_record(type(pipeline)) and folder.read_context() is None:
        raise UnsuitableInput(NO_RECORD)
    note = CheckNote(pipeline.version, pipeline.model.weights_digest)
    folder.write_note(note)
    return Checked(note.version, note.weights)


def infer(asked: Infer, warm: Warm) -> Inferred:
    """Run the pipeline and keep its result in the job's folder."""
    folder = JobFolder(asked.folder, asked.key_file)
    loaded = warm.get(asked.pipeline, asked.settings)
    pipeline, _ = loaded.load()
    study = folder.read_study()
    images = folder.read_note(StudyNote)
    prior, remark = folder.read_prior()
    remarks = [sentence for sentence in (images.remark if images else "", remark) if sentence]
    context = folder.read_context() if pipeline.needs_context else None
    start = time.perf_counter()
    result = loaded.run(replace(study, series=(*study.series, *prior)), context)
    seconds = time.perf_counter() - start
    if remarks:
        result = replace(result, limits=(*result.limits, *remarks))
    folder.write_json(SUMMARY, summary(result))
    note = folder.write_result(result, pipeline.version, seconds)
    return Inferred(note.sha256, note.version, seconds, note.weights)


def encode(asked: Encode, warm: Warm, tell: Tell) -> Encoded:
    """Write the result, or that there is none, as objects in the job's folder, once per profile.

    The derived series come first, and `tell` is told when they are there.
    """
    from dicom_sr.write.encode import Encoding  # a second or two, so not before the first request

    folder = JobFolder(asked.folder, asked.key_file)
    registry.pipeline_type(asked.pipeline)  # its package makes the codes of the result known here
    what = _not_run(asked, folder, warm) if asked.result is None else _result(asked.result, folder)
    if asked.revision:
        what = replace(what, model=_revised(what.model, asked.revision))
    context = None if what.evidence else folder.read_context()
    moment = moment_of(what, context) or asked.created
    written = _Written(folder)
    encodings: dict[str, Encoding] = {}
    for name, profile in asked.profiles.items():
        being_made = written.begin(name)
        earlier = asked.earlier.get(name, NOTHING_EARLIER)
        encodings[name] = Encoding(
            what,
            profile,
            moment,
            being_made,
            earlier,
            folder.path.name,
            asked.earlier_jobs,
            folder.read_patient(),
        )
        written.add(name, encodings[name].derived_series())
    if written.objects and asked.series_first:
        folder.write_note(SeriesNote(asked.key, tuple(written.objects.values()), written.twins))
        tell(SeriesEncoded(len(written.objects)))
    left_out: dict[str, None] = {}  # once each, in order
    mended: dict[str, None] = {}
    for name, encoding in encodings.items():
        rest = encoding.rest()
        left_out |= dict.fromkeys(without_identity(str(one), folder) for one in rest.left_out)
        mended |= dict.fromkeys(rest.mended)
        for one in rest.left_out:
            if one.cause is not None:
                log.warning("%s left out\n%s", one.kind, _traceback(one.cause, folder))
        written.add(name, rest.objects)
        written.end(name)
    if mended:
        log.warning("not valid DICOM in the source, so cleaned or left out in the results: %s", ", ".join(mended))
    folder.write_note(ObjectsNote(asked.key, tuple(written.objects.values()), written.twins, tuple(left_out)))
    return Encoded(len(written.objects))


class _Written:
    """What was written for the profiles, each object once, on the disk and in its place."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self.objects: dict[str, EncodedObject] = {}
        self.twins: dict[str, dict[str, str | None]] = {}

    def begin(self, profile: str) -> Path:
        """Where the objects of a profile are to be made."""
        shutil.rmtree(self._being_made(profile), ignore_errors=True)  # of a worker that died
        self.twins[profile] = {}
        return self._being_made(profile)

    def add(self, profile: str, made: Sequence[EncodedObject]) -> None:
        """Put objects that were made for a profile into their place.

        Raises
        ------
        EncodingError
            If one has other bytes than under another profile.
        """
        sealed = [_sealed(item, self._folder) for item in made]
        on_disk(item.path for item in sealed)  # before they have their names: from then on the node may take them away
        for item in (_put(item, self._folder.objects / profile) for item in sealed):
            self.twins[profile][item.sop_instance_uid] = item.twin_of
            known = self.objects.setdefault(item.sop_instance_uid, item)
            if known.sha256 != item.sha256:
                raise EncodingError(f"{item.kind} {item.sop_instance_uid} comes out differently for two destinations")
            if known.twin_of is None and item.twin_of is not None:
                self.objects[item.sop_instance_uid] = replace(known, twin_of=item.twin_of)

    def end(self, profile: str) -> None:
        """Nothing more is made for a profile: what could not be finished goes."""
        shutil.rmtree(self._being_made(profile), ignore_errors=True)

    def _being_made(self, profile: str) -> Path:
        return (self._folder.objects / profile).with_suffix(".part")


def _revised(model: Model, revision: str) -> Model:
    """The model with another digest of its settings: what it says of replaced images has UIDs of its own."""
    digest = hashlib.sha256(f"{model.configuration_digest}|{revision}".encode()).hexdigest()
    return replace(model, configuration_digest=digest)


def _sealed(item: EncodedObject, folder: JobFolder) -> EncodedObject:
    """The object as it is to lie in the job's folder: what is no DICOM is sealed as the patient's record is."""
    if item.kind not in FOREIGN_KINDS:
        return item
    content = item.path.read_bytes()
    if item.kind == "notification":
        content = _without_names(content, folder)
    content = seal(content, folder.key_file)
    write_whole(item.path, content, sync="never")
    return replace(item, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def _without_names(notification: bytes, folder: JobFolder) -> bytes:
    """A notification whose sentences, which a pipeline wrote, name no patient."""
    told = json.loads(notification)
    told["sentences"] = [without_identity(sentence, folder) for sentence in told["sentences"]]
    return json.dumps(told, indent=1).encode()


def _put(item: EncodedObject, place: Path) -> EncodedObject:
    """The object, whole, in its place: what lies there may be on its way to a destination, and never changes midway."""
    place.mkdir(exist_ok=True)
    path = place / item.path.name
    item.path.replace(path)
    return replace(item, path=path)


def _result(sha256: str, folder: JobFolder) -> Result:
    result = folder.read_result(sha256)
    subject = result.subject or folder.read_subject()  # not in the result: that lies there for everybody who may read
    return replace(result, subject=subject)


def _not_run(asked: Encode, folder: JobFolder, warm: Warm) -> NotRun:
    pipeline = warm.get(asked.pipeline, asked.settings).fresh()
    return NotRun(pipeline.model, pipeline.title, folder.read_study().series, asked.not_run or "")


def answer(asked: JobRequest, warm: Warm, tell: Tell = lambda _: None) -> Answer:
    """Do one request. Every error becomes an answer; `tell` is told what can be used before all of it is done."""
    folder = JobFolder(asked.folder, asked.key_file)
    try:
        with node.log.bound(job=asked.folder.name):
            match asked:
                case Check():
                    return check(asked, warm)
                case Infer():
                    return infer(asked, warm)
                case Encode():
                    return encode(asked, warm, tell)
                case Try():
                    return try_out(asked, warm)
    except Exception as error:  # noqa: BLE001 (the worker's loop: a bug in a pipeline costs one job)
        return waits(error, folder) or _fault(error, asked, folder)


def waits(error: Exception, folder: JobFolder) -> Waits | None:
    """The answer to an error that comes from a full disk, or from images that cannot be read now; None to others."""
    if is_full(error):
        return Waits("room", FULL)
    note = folder.read_note(StudyNote)
    reason = away(error, note.paths if note else ())
    return Waits("images", reason) if reason else None


def _fault(error: Exception, asked: JobRequest, folder: JobFolder) -> Answer:
    """The answer to an error of the images, of the pipeline or of an encoder."""
    if isinstance(error, UnsuitableInput):
        return Unsuitable(without_identity(str(error), folder))
    if isinstance(error, DicomError | Damaged | BundleError):
        return Failed(without_identity(str(error), folder))
    with node.log.bound(job=asked.folder.name):
        log.error("%s failed\n%s", asked.do, _traceback(error, folder), extra={"pipeline": asked.pipeline})
    return Failed(_BROKE[asked.do])


def _traceback(error: Exception, folder: JobFolder) -> str:
    return without_identity("".join(traceback.format_exception(error)), folder)


def without_identity(text: str, folder: JobFolder) -> str:
    """`text` without what identifies the patient of the job: a library's message may quote a data element's value."""
    try:
        values = tuple(_identity(folder))
    except Exception:  # noqa: BLE001 (a file that broke the job may break this as well)
        return "the images or the record cannot be read"
    return without(text, values)


def _identity(folder: JobFolder) -> Iterator[str]:
    """What the job's images say of the patient, and what is known of whose record it is."""
    note = folder.read_note(StudyNote)
    paths = note.paths if note else ()
    yield from identity_of(paths if note and note.remark else paths[:1])  # the first says it for all, as a rule
    for subject in (folder.read_subject(), folder.read_patient()):
        if subject is not None:
            yield from (subject.patient_id, subject.patient_name, subject.patient_birth_date)


def end_with_the_node(descriptor: int) -> None:
    """Wait until the node closes the connection, then end this process at once."""
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    poll.poll()
    os._exit(1)


def load_next(waiting: list[tuple[str, Settings]], warm: Warm) -> None:
    """Load the next pipeline of the list, or the encoders. One that cannot be loaded fails the job that needs it."""
    name, settings = waiting.pop(0)
    try:
        if name == ENCODERS:
            importlib.import_module(ENCODERS)
        else:
            warm.get(name, settings).load()
    except Exception:  # the worker's loop
        log.exception("cannot load pipeline beforehand", extra={"pipeline": name})


def main(descriptor: int) -> None:
    """Make the process ready, and serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the node's to handle
    node.log.configure()
    keep_private()  # encoders write by pydicom
    settle_in()
    threading.Thread(target=end_with_the_node, args=(descriptor,), daemon=True).start()
    try:  # if memory runs out, the kernel should end this process, not the node
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        log.debug("cannot set oom_score_adj")
    connection = Connection(descriptor)
    connection.send_bytes(messages.pack(Ready()))
    try:
        serve(connection)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 (a panic of native code: nobody knows in what state it left the rest)
        where = "".join(traceback.format_tb(error.__traceback__))  # the error's own text may quote a value
        log.critical("worker broke: %s\n%s", type(error).__name__, where)
        os._exit(BROKE)


def serve(connection: Connection) -> None:
    """Answer requests until the node closes the connection."""
    warm, to_load = Warm(), list[tuple[str, Settings]]()

    def tell(part: SeriesEncoded) -> None:
        connection.send_bytes(messages.pack(part))

    while True:
        if to_load and not connection.poll(0):
            load_next(to_load, warm)
            continue
        try:
            asked = messages.request(connection.recv_bytes())
        except EOFError:
            return
        if isinstance(asked, Load):
            to_load = [*asked.pipelines, (ENCODERS, {})]
        else:
            connection.send_bytes(messages.pack(answer(asked, warm, tell)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
