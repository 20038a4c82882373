"""`condyle risk`: the risk of one patient from the record that the node has, as text or as a FHIR RiskAssessment."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from dicom_sr.errors import UnsuitableInput
from node.commands.terminal import console
from node.config.route_settings import read_with_settings
from node.patient_records.answer import Assessor, route_settings
from node.patient_records.look_up import Contexts, open_patient_records
from node.patient_records.web import answer


def risk(patient: str, config: Path, issuer: str | None = None, day: date | None = None, as_json: bool = False) -> int:
    """Print the answer; 1 if there is no record or it cannot be used."""
    configuration = read_with_settings(config)
    contexts = Contexts(configuration, open_patient_records(configuration))
    assessor = Assessor(route_settings(configuration.routes))
    try:
        resource = answer(configuration.records, contexts, assessor, patient, issuer, day or date.today())
    except UnsuitableInput as error:
        console(error=True).print(str(error), markup=False)
        return 1
    finally:
        assessor.close()
    if as_json:
        console().print_json(json.dumps(resource))
    else:
        for note in resource["note"]:
            console().print(note["text"], markup=False)
    return 0
