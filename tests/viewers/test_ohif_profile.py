"""What `profile: ohif` sends is shown by OHIF on a whole screen: one label a finding, none on another, no error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pydicom
import pytest

from dicom_sr.findings import Finding, NotEvaluable, Result
from dicom_sr.versions import earlier_version
from dicom_sr.write.encode import encode
from dicom_sr.write.ohif import label_of
from node.config.profile import Profile
from pipelines.example import CREATED, Example
from pipelines.examples import PROFILE
from pipelines.hand_foot_scoring.example import example as hand_foot_example
from pipelines.joint_classification import JointClassification
from pipelines.knee_super_resolution.example import example as knee_example
from tests.dicom_sr import every_kind
from tests.factories import joint_result, radiograph_study
from tests.needs import missing
from tests.orthanc import Archive, OrthancMissing
from tests.serving import served
from tests.viewers.conftest import hold_to_picture
from tests.viewers.ohif import viewer
from tests.viewers.test_ohif import OPENINGS, PATIENCE_MS, open_series, still

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

pytestmark = [pytest.mark.browser, pytest.mark.orthanc, pytest.mark.timeout(240)]

WIDTH = 1280  # of a kept picture, on which labels can be read
SCREEN: ViewportSize = {"width": 1920, "height": 1080}
SENT = replace(PROFILE, viewer=Profile.model_validate("ohif").viewer)
MAKERS: dict[str, Callable[[Path], Example]] = {
    "hands": hand_foot_example,
    "ultrasound": JointClassification.example,
    "knee": partial(knee_example, echo_times_ms=(12.0,)),  # of one echo, as in the other tests of OHIF
    "segmented": every_kind.every_kind,
}
# the labels that are to be seen: what they say, and their rectangles
LABELS = """() => [...document.querySelectorAll('svg.svg-layer text')].filter(one => one.textContent).map(one => {
    const {left, top, right, bottom} = one.getBoundingClientRect();
    return [one.textContent, left, top, right, bottom];
})"""
MEASUREMENTS = "() => window.services.measurementService.getMeasurements().map(one => one.label)"


@dataclass(frozen=True)
class Sent:
    """A result as it was sent."""

    study: str
    labels: list[str]  # of its findings
    report: str  # its SeriesNumber
    others: list[str]  # SeriesNumbers of the other objects


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    try:
        orthanc = Archive(tmp_path_factory.mktemp("ohif-profile"), plugins=("DicomWeb",))
    except OrthancMissing as error:
        missing(str(error))
    with orthanc:
        yield orthanc


@pytest.fixture(scope="module")
def sent(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sent]:
    """What a destination with `profile: ohif` gets of each example: a twin goes only where its report is refused."""
    results = {}
    for name, make in MAKERS.items():
        folder = tmp_path_factory.mktemp(name)
        example: Example = make(folder / "source")
        assert isinstance(example.result, Result)
        objects = [one for one in encode(example.result, SENT, CREATED, folder / "result") if one.twin_of is None]
        for path in [*(folder / "source").glob("*.dcm"), *(one.path for one in objects)]:
            archive.upload(path)
        numbers = {one.kind: str(pydicom.dcmread(one.path, stop_before_pixels=True).SeriesNumber) for one in objects}
        found: tuple[Finding | NotEvaluable, ...] = (*example.result.findings, *example.result.not_evaluable)
        others = [number for kind, number in numbers.items() if kind != "report"]
        results[name] = Sent(objects[0].study_instance_uid, [label_of(one) for one in found], numbers["report"], others)
    return results


@pytest.fixture(scope="module")
def ohif(archive: Archive, ohif_dist: Path) -> Iterator[str]:
    # Orthanc closes a connection that was idle for a while, now and then just when it is used again
    fresh = httpx.Limits(max_keepalive_connections=0)
    with (
        httpx.Client(base_url=archive.url, timeout=60, limits=fresh) as orthanc,
        served(viewer(ohif_dist, orthanc)) as url,
    ):
        yield url


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=SCREEN)
    yield context
    context.close()


@pytest.fixture
def page(window: BrowserContext) -> Iterator[Page]:
    page = window.new_page()
    yield page
    page.close()


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What goes wrong on the page, as it goes wrong."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    return heard


def take_over(page: Page, url: str, result: Sent) -> list[str]:
    """Open the report, have its measurements taken over, and say which the panel lists.

    OHIF reads a report twice at once when it is opened; on a busy machine some measurements are then sometimes lost.
    """
    listed: list[str] = []
    for _ in range(OPENINGS):
        open_series(page, url, result.study, result.report)
        page.get_by_role("button", name="Yes").first.click(timeout=PATIENCE_MS)
        still(page)
        listed = page.evaluate(MEASUREMENTS)
        if len(listed) == len(result.labels):
            break
    return listed


def shown(page: Page) -> list[str]:
    """The labels in sight, none of which lies on another."""
    labels = page.evaluate(LABELS)
    covering = [
        (one, other)
        for (one, *a), (other, *b) in combinations(labels, 2)
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]
    assert covering == []
    return [text for text, *_ in labels]


def toasts(page: Page) -> list[str]:
    return [toast.inner_text() for toast in page.locator("[data-sonner-toast]").all()]


@pytest.mark.parametrize("name", ["hands", "ultrasound", "knee"])
def test_the_panel_lists_each_finding_and_no_label_lies_on_another(
    name: str, sent: dict[str, Sent], ohif: str, page: Page, complaints: list[str], tmp_path: Path
) -> None:
    result = sent[name]
    assert sorted(take_over(page, ohif, result)) == sorted(result.labels)
    seen = shown(page)
    assert seen
    assert set(seen) <= set(result.labels)
    if name == "hands":  # OHIF goes to the last image, a foot
        hold_to_picture(bytes(page.screenshot()), "ohif-profile-foot", tmp_path, WIDTH)
        page.locator('[data-series="1"]').first.dblclick()
        page.wait_for_function(f"() => ({LABELS})().length > 20", timeout=PATIENCE_MS)
        assert len(shown(page)) == 25
    hold_to_picture(still(page), f"ohif-profile-{name}", tmp_path, WIDTH)
    assert (complaints, toasts(page)) == ([], [])


@pytest.mark.parametrize("name", ["hands", "ultrasound", "segmented"])
def test_nothing_that_is_sent_makes_ohif_fail(
    name: str, sent: dict[str, Sent], ohif: str, page: Page, complaints: list[str]
) -> None:
    first, *more = sent[name].others
    open_series(page, ohif, sent[name].study, first)
    for number in [first, *more]:
        page.locator(f'[data-series="{number}"]').first.dblclick()
        still(page)
        assert (number, complaints, toasts(page)) == (number, [], [])
        assert page.get_by_text("Something went wrong").count() == 0


def test_of_two_versions_of_a_report_the_panel_lists_the_second_alone(
    archive: Archive, ohif: str, page: Page, tmp_path: Path
) -> None:
    study = radiograph_study(tmp_path / "source")
    result = joint_result(study)
    (finding,) = result.findings
    profile = replace(SENT, kinds=("report",))
    first = encode(replace(result, findings=(replace(finding, summary="first"),)), profile, CREATED, tmp_path / "first")
    (one, *_) = second = encode(
        replace(result, findings=(replace(finding, summary="second"),)),
        profile,
        CREATED + timedelta(minutes=1),
        tmp_path / "second",
        earlier_version(1, first),
        "second",
        ["first"],
    )
    images = [instance.path for series in study.series for instance in series.instances]
    for path in [*images, *(each.path for each in (*first, *second) if each.twin_of is None)]:
        archive.upload(path)
    number = str(pydicom.dcmread(one.path).SeriesNumber)
    assert take_over(page, ohif, Sent(one.study_instance_uid, ["second"], number, [])) == ["second"]
