"""Which version a route runs, and the way back."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.config import Route
from node.database.tables import AuditRow
from node.models.versions import NoVersion, Versions, placed, takes_bundles
from tests.node.models.kept_bundles import NOW, kept, put
from tests.node.run.trial import Bench


def route(made: Bench, **settings: object) -> Route:
    settings = {"journal": str(made.journal), **settings}
    return Route(when={}, pipeline="trial_bundle", settings=settings, destinations=())


def in_force(versions: Versions, name: str = "knee") -> str | None:
    row = versions.in_force(name)
    return None if row is None else row.bundle


def test_a_route_runs_what_is_configured_until_another_version_is_put_in_force(made: Bench, versions: Versions) -> None:
    configured = route(made, bundle="/etc/own", sha256="ab" * 32)
    assert versions.settings("knee", configured) == configured.settings
    one = kept(made, 1)
    put(versions, one)
    given = versions.settings("knee", configured)
    assert given == {"journal": str(made.journal), "bundle": f"models/{one.digest}", "sha256": one.weights}
    assert placed(given, made.data)["bundle"] == str(made.data / "models" / str(one.digest))
    assert versions.settings("other", configured) == configured.settings


def test_a_version_of_another_pipeline_does_not_count(made: Bench, versions: Versions) -> None:
    versions.use("knee", "trial", kept(made, 1), "erika", NOW)
    configured = route(made)
    assert versions.settings("knee", configured) == configured.settings


def test_the_way_back_leads_through_what_was_before_to_what_is_configured(made: Bench, versions: Versions) -> None:
    one, two, three = (kept(made, number) for number in (1, 2, 3))
    for bundle in (one, two):
        put(versions, bundle)
    assert versions.before("knee") == one.digest
    versions.back("knee", "erika", NOW)
    put(versions, three)
    found = []
    for _ in range(2):
        versions.back("knee", "erika", NOW)
        found.append(in_force(versions))
    assert found == [one.digest, None]
    with pytest.raises(NoVersion, match="nothing was in force before"):
        versions.back("knee", "erika", NOW)
    put(versions, two)
    versions.back("knee", "erika", NOW)
    assert in_force(versions) is None


def test_the_audit_trail_says_who_changed_what(made: Bench, versions: Versions) -> None:
    one, two = kept(made, 1), kept(made, 2)
    put(versions, one)
    put(versions, two)
    versions.back("knee", "paul", NOW)
    with Session(made.database) as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.id)).all()
        told = [(row.at, row.who, row.detail["from"], row.detail["to"]) for row in rows]
    assert told == [
        (NOW, "erika", "as configured", one.weights),
        (NOW, "erika", one.weights, two.weights),
        (NOW, "paul", two.weights, one.weights),
    ]


def test_a_version_is_found_by_the_first_characters_of_its_digest(made: Bench, versions: Versions) -> None:
    one, two = kept(made, 1), kept(made, 2)
    put(versions, one)
    put(versions, two)
    assert one.digest is not None
    assert versions.found(one.weights[:12]) == versions.found(one.digest[:12]) == one.digest
    assert versions.source(one.digest) == one.source
    for text, why in (("", "several versions begin"), ("xyz", "no version begins")):
        with pytest.raises(NoVersion, match=f"{why} so; there are: {two.weights[:12]}, {one.weights[:12]}"):
            versions.found(text)


def test_a_version_is_needed_while_a_route_runs_it_or_can_go_back_to_it(made: Bench, versions: Versions) -> None:
    one, two = kept(made, 1), kept(made, 2)
    put(versions, one)
    put(versions, two)
    put(versions, one, "other")
    assert (one.digest, two.digest) != (None, None)
    assert versions.needed_by(str(one.digest)) == ["knee", "other"]
    assert versions.needed_by(str(two.digest)) == ["knee"]
    versions.back("knee", "erika", NOW)
    assert versions.needed_by(str(two.digest)) == []


def test_only_a_pipeline_with_that_setting_takes_bundles(made: Bench) -> None:
    assert takes_bundles("trial_bundle")
    assert not takes_bundles("trial")
