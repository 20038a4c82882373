"""`records.fhir.post_back: true`, from before a FHIR server was a kind of destination: what it stands for now."""

from __future__ import annotations

from node.config.sections import Configuration, FhirDestination
from pipelines.base import answers_from_record
from pipelines.registry import UnknownPipeline, pipeline_type

DESTINATION = "records.fhir"  # no destination of the configuration can be called so: it has a dot


def with_fhir_destination(configuration: Configuration) -> Configuration:
    """The configuration as it would be written today: the server is a destination of every route that states risks,
    and of the answers to requests.

    Without `post_back` the configuration is left as it is, and so is a route that names the same server already.
    """
    fhir = configuration.records.fhir
    if fhir is None or not fhir.post_back:
        return configuration
    destination = FhirDestination(
        kind="fhir",
        url=fhir.url,
        token_file=fhir.token_file,
        identifier_system=fhir.identifier_system,
        timeout_s=fhir.timeout_s,
    )
    same = {
        name
        for name, one in configuration.destinations.items()
        if isinstance(one, FhirDestination) and one.url.rstrip("/") == fhir.url.rstrip("/")
    }
    routes = {
        name: route.model_copy(update={"destinations": (*route.destinations, DESTINATION)})
        if _states_risks(route.pipeline) and not same & set(route.destination_names)
        else route
        for name, route in configuration.routes.items()
    }
    answers = configuration.records.answer_destinations
    records = configuration.records
    if not same & set(answers):
        records = records.model_copy(update={"answer_destinations": (*answers, DESTINATION)})
    destinations = {**configuration.destinations, DESTINATION: destination}
    return configuration.model_copy(update={"destinations": destinations, "routes": routes, "records": records})


def _states_risks(pipeline: str) -> bool:
    try:
        return answers_from_record(pipeline_type(pipeline))
    except UnknownPipeline:
        return False
