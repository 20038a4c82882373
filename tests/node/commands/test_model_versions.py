"""`condyle model`: what is put in force, refused, gone back to and forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.model_versions import back, forget, list_versions, use
from node.database.job_states import record
from node.database.tables import AuditRow, JobRow, ModelVersionRow
from node.models import store
from node.models.versions import Versions
from pipelines.bundle import bundle_digest
from tests.node.models.kept_bundles import kept, put
from tests.node.run.trial import Bench, bench, mr_instances
from tests.node.run.trial_pipelines import NOWHERE, trial_bundle

ROUTES = {"knee": "trial_bundle", "plain": "trial"}
Say = Callable[[], str]


@pytest.fixture
def made(tmp_path: Path, trial_installed: None) -> Iterator[Bench]:
    """A node that is not running, with a route whose weights can be chosen and one without."""
    settings = {"journal": str(NOWHERE)}
    routes = {
        name: {"when": {"Modality": "MR"}, "pipeline": pipeline, "settings": settings, "destinations": []}
        for name, pipeline in ROUTES.items()
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"node": {"data": "data"}, "routes": routes}))
    with bench(tmp_path, routes=routes, destinations={}) as found:
        yield found


@pytest.fixture
def config(made: Bench) -> Path:
    return made.folder / "config.yaml"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Say:
    """What was printed since it was asked last, on one line."""

    def read() -> str:
        out, complaints = capsys.readouterr()
        return " ".join((out + complaints).split())

    return read


def digest(bundle: Path) -> str:
    return bundle_digest({"number.txt": bundle / "number.txt"})


def rows(made: Bench) -> list[tuple[str, str]]:
    """Route and digest of everything that was put in force."""
    with Session(made.database) as session:
        found = session.scalars(select(ModelVersionRow).order_by(ModelVersionRow.id)).all()
        return [(row.route, row.weights) for row in found]


def in_force_before_and_now(made: Bench) -> tuple[str, str]:
    """Two bundles are put in force for the route, one after the other; their digests."""
    versions = Versions(made.database, made.data)
    bundles = [kept(made, number) for number in (1, 2)]
    for bundle in bundles:
        put(versions, bundle)
    one, two = (str(bundle.digest) for bundle in bundles)
    return one, two


def test_a_bundle_is_tried_put_in_force_and_listed_and_the_folder_may_go(made: Bench, config: Path, said: Say) -> None:
    one = trial_bundle(made.folder / "one", 1)
    weights = digest(one)
    assert use("knee", str(one), config) == OK
    told = said()
    assert "it ran on the simulated example study, and " in told
    assert f"route knee: version {weights[:12]} is in force from the next decision on" in told
    one.rename(made.folder / "elsewhere")
    assert use("knee", weights[:12], config) == OK
    assert f"version {weights[:12]} is in force already" in said()
    assert list_versions(None, config) == OK
    listed = said()
    assert f"knee {weights[:12]} yes" in listed
    assert str(made.folder / "one") in listed
    assert rows(made) == [("knee", weights)]


@pytest.mark.parametrize(
    ("number", "why"),
    [
        ("many", "the pipeline broke on its example study; the log says where"),
        ("-1", "the pipeline broke on its example study; the log says where"),
        (None, "is no bundle of trial_bundle: "),
    ],
)
def test_a_bundle_that_does_not_run_is_refused_and_nothing_changes(
    made: Bench, config: Path, said: Say, number: str | None, why: str
) -> None:
    folder = made.folder / "bad"
    if number is None:
        folder.mkdir()
    else:
        trial_bundle(folder, number)
    assert use("knee", str(folder), config) == NOT_RIGHT
    told = said()
    assert "route knee keeps its version: " in told
    assert why in told
    assert (rows(made), store.digests(made.data)) == ([], [])
    with Session(made.database) as session:
        assert not session.scalars(select(AuditRow)).all()


def test_what_is_no_route_or_has_no_weights_to_choose_is_named(made: Bench, config: Path, said: Say) -> None:
    assert use("kne", "nowhere", config) == USAGE
    assert "'kne': no such route; there are: knee, plain; did you mean 'knee'?" in said()
    assert use("plain", str(made.folder), config) == NOT_RIGHT
    assert "the weights of trial cannot be chosen" in said()
    assert use("knee", "abc", config) == NOT_RIGHT
    assert "abc: is no folder, and no version begins so; there are: none" in said()


def test_back_leads_to_the_version_before_and_then_to_what_is_configured(made: Bench, config: Path, said: Say) -> None:
    one, two = trial_bundle(made.folder / "one", 1), trial_bundle(made.folder / "two", 2)
    assert [use("knee", str(one), config), use("knee", str(two), config)] == [OK, OK]
    said()
    assert back("knee", config) == OK
    assert (
        f"version {digest(one)[:12]} is in force from the next decision on; before: version {digest(two)[:12]}"
        in said()
    )
    assert back("knee", config) == OK
    assert "what is configured is in force" in said()
    assert back("knee", config) == NOT_RIGHT
    assert "nothing was in force before that" in said()


def test_back_to_a_version_whose_files_were_changed_is_refused(made: Bench, config: Path, said: Say) -> None:
    one, two = in_force_before_and_now(made)
    path = store.folder_of(made.data, one) / "number.txt"
    path.chmod(0o600)
    path.write_text("3")
    assert back("knee", config) == NOT_RIGHT
    assert "its files were changed" in said()
    assert rows(made)[-1] == ("knee", two)


def test_a_version_is_forgotten_only_when_nothing_needs_it(made: Bench, config: Path, said: Say) -> None:
    one, two = in_force_before_and_now(made)
    instances = mr_instances(1)
    made.store(instances)
    job = made.job(instances, route="knee", bundle=store.stored_name(two))
    with Session(made.database) as session, session.begin():
        record(session, job)
    for version in (one, two):
        assert forget(version[:12], config) == NOT_RIGHT
        assert "in force, or condyle model back leads to it, of: knee" in said()
    assert back("knee", config) == OK
    assert forget(two[:12], config) == NOT_RIGHT
    assert f"needed by jobs that have not ended, such as {job.id[:12]}" in said()
    with Session(made.database) as session, session.begin():
        session.get_one(JobRow, job.id).state = "done"
    assert forget(two[:12], config) == OK
    assert store.digests(made.data) == [one]
    assert list_versions("knee", config) == OK
    assert f"{two[:12]} deleted" in said()
    assert list_versions("knee", config, json_output=True) == OK
    told = json.loads(said())
    assert [(version["weights"], version["in_force"], version["is_stored"]) for version in told][:2] == [
        (one, True, True),
        (two, False, False),
    ]
