"""`condyle risk`: the risk of one patient from the record that the node has, as text or as a FHIR RiskAssessment."""

from __future__ import annotations

import json
import logging
import time
from datetime import date
from pathlib import Path

from dicom_sr.errors import UnsuitableInput
from node.commands.exit_codes import NOT_RIGHT, OK, UNREACHABLE, USAGE
from node.commands.terminal import console
from node.config.route_settings import read_with_settings
from node.database.connection import opening_errors
from node.patient_records.look_up import RecordLookUp, open_patient_records
from node.patient_records.patient_changes import open_patient_changes
from node.patient_records.requests import Answer, AnswerState, RecordRequests, day_problem
from node.reading import HERE
from node.run.job_engine import JobEngine, set_up

LOOK_FOR_NODE_S = 1.0  # how often is looked whether the node that has the job is still there


def risk(patient: str, config: Path, issuer: str | None = None, day: date | None = None, as_json: bool = False) -> int:
    """Print the answer.

    The question is a job, as for ``POST /risk``. A node that runs with the same data folder takes it; where none does,
    its steps are done here, in a worker with the same limits, and no other job is taken up. What goes to FHIR
    destinations is sent by the node, now or when it is next started.

    Parameters
    ----------
    patient
        The patient's ID in the record.
    config
        The node's configuration.
    issuer
        Of the patient ID; None: `records.default_issuer`.
    day
        For which the risk is asked; None: today.
    as_json
        The whole RiskAssessment rather than its sentences.

    Returns
    -------
    int
        `NOT_RIGHT` if there is no record, it cannot be used, or the job failed; `UNREACHABLE` if a node is at it for
        longer than `records.answer_wait_s`; `USAGE` if no risk can be asked for from that day on.
    """
    if day is not None and (problem := day_problem(day)):
        console(error=True).print(f"--at: {problem}", markup=False)
        return USAGE
    logging.getLogger("node").addHandler(logging.NullHandler())  # what the steps log, the answer says
    configuration = read_with_settings(config)
    with opening_errors(configuration):
        database = set_up(configuration)
    records = open_patient_records(configuration)
    engine = JobEngine(configuration, database, HERE)
    look_up = RecordLookUp(configuration, records, HERE, changes=open_patient_changes(configuration, records))
    requests = RecordRequests(configuration, database, records, look_up, engine)
    try:
        answer = _answer(engine, requests, (patient, issuer, day or date.today()), configuration.records.answer_wait_s)
    except UnsuitableInput as error:
        console(error=True).print(str(error), markup=False)
        return NOT_RIGHT
    finally:
        engine.stop()
        database.dispose()
    if answer.state is AnswerState.UNDER_WAY:
        console(error=True).print(
            f"The node is still at it (job {answer.job_id}). Give the same command later, and it shows the answer."
        )
        return UNREACHABLE
    if answer.resource is None:
        console(error=True).print(answer.reason, markup=False)
        return NOT_RIGHT
    if as_json:
        console().print_json(json.dumps(answer.resource))
    else:
        for note in answer.resource["note"]:
            console().print(note["text"], markup=False)
    return OK


def _answer(
    engine: JobEngine, requests: RecordRequests, question: tuple[str, str | None, date], wait_s: float
) -> Answer:
    """Submit the question, and run its job here as soon as no node, and no other command, does."""
    deadline = time.monotonic() + wait_s
    with engine.alone() as alone:
        job = requests.submit(*question)
        if alone and requests.answer(job).state is AnswerState.UNDER_WAY:
            engine.run_here(job)
    while True:
        answer = requests.wait(job, min(LOOK_FOR_NODE_S, max(0.0, deadline - time.monotonic())))
        if answer.state is not AnswerState.UNDER_WAY or time.monotonic() >= deadline:
            return answer
        with engine.alone() as alone:
            if alone and requests.answer(job).state is AnswerState.UNDER_WAY:
                engine.run_here(job)
