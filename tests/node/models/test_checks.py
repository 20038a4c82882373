"""Can the versions that are in force be run?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from node.config import Configuration
from node.config.check_result import CheckResult
from node.models import store
from node.models.checks import versions as check
from node.models.versions import Versions
from tests.node.models.kept_bundles import kept, put
from tests.node.run.trial import Bench


def configured(made: Bench, pipeline: str = "trial_bundle", **settings: object) -> Configuration:
    settings = {"journal": str(made.journal), **settings}
    route = {"when": {}, "pipeline": pipeline, "settings": settings, "destinations": []}
    return Configuration.model_validate({"node": {"data": made.data}, "routes": {"knee": route}})


def only(results: Iterator[CheckResult]) -> CheckResult:
    (found,) = results
    assert found.key == "routes.knee.settings.bundle"
    return found


def test_without_a_version_or_a_database_there_is_nothing_to_say(made: Bench, tmp_path: Path) -> None:
    assert not list(check(configured(made)))
    assert not list(check(Configuration.model_validate({"node": {"data": tmp_path / "nowhere"}})))


def test_a_version_in_force_is_named_with_since_when_and_by_whom(made: Bench, versions: Versions) -> None:
    put(versions, bundle := kept(made, 1))
    found = only(check(configured(made)))
    assert found.state == "good"
    assert found.sentence.startswith(f"version {bundle.weights[:12]} is in force since 30 Nov 2026")
    assert found.sentence.endswith("by erika; trained on 1")


def test_a_configured_bundle_that_is_not_used_is_doubtful(made: Bench, versions: Versions) -> None:
    put(versions, kept(made, 1))
    found = only(check(configured(made, bundle="/etc/own")))
    assert (found.state, "the configured bundle is not used" in found.sentence) == ("doubtful", True)


def test_a_version_of_a_pipeline_that_the_route_no_longer_runs_is_doubtful(made: Bench, versions: Versions) -> None:
    put(versions, kept(made, 1))
    found = only(check(configured(made, "trial")))
    assert (found.state, "what is configured is run" in found.sentence) == ("doubtful", True)


def test_a_version_that_was_changed_keeps_the_node_from_starting(made: Bench, versions: Versions) -> None:
    put(versions, bundle := kept(made, 1))
    path = store.folder_of(made.data, str(bundle.digest)) / "number.txt"
    path.chmod(0o600)
    path.write_text("2")
    found = only(check(configured(made)))
    assert found.state == "bad"
    assert "its files were changed" in found.sentence
    assert "condyle model back knee" in found.sentence
