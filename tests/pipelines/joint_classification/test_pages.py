"""The capture of the example."""

import numpy as np

from dicom_sr.findings import Result


def test_a_joint_has_a_page_with_image_attention_probabilities_map_and_neighbours(example_result: Result) -> None:
    (page,) = example_result.pages
    assert page.title == "Joint classification, L MCP2"
    assert [panel.title for panel in page.panels] == [
        "Image",
        "Where the model looked",
        "Probabilities",
        "Place among known cases",
        "Nearest known cases",
    ]


def test_attention_lies_on_the_field_that_was_read(example_result: Result) -> None:
    (heat,) = example_result.heatmaps
    region = example_result.findings[0].region
    assert region is not None
    (left, top), (right, bottom) = (f(region.outline, axis=0) for f in (np.min, np.max))
    rows, columns = np.nonzero(heat.array > 0.01)
    assert left - 1 <= columns.min() <= columns.max() <= right + 1
    assert top - 1 <= rows.min() <= rows.max() <= bottom + 1


def test_the_image_that_was_classified_is_flagged(example_result: Result) -> None:
    (flag,) = example_result.flags
    assert flag.reason == "L MCP2: the image that was classified."
