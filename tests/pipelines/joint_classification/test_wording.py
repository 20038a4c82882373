"""The sentences of the report."""

import pytest

from dicom_sr.findings import Result
from pipelines.joint_classification.wording import LIMITS, percent


@pytest.mark.parametrize(
    ("probability", "text"), [(0.999, "over 99 %"), (0.004, "under 1 %"), (0.5, "50 %"), (0.985, "98 %")]
)
def test_a_probability_is_never_a_certainty(probability: float, text: str) -> None:
    assert percent(probability) == text


def test_the_example_says_what_was_read_how_and_what_it_is_not(example_result: Result) -> None:
    assert example_result.conclusion == ("L MCP2: pattern of rheumatoid arthritis, probability 71 % (60 to 80 %).",)
    assert example_result.limits[:2] == LIMITS
    assert any("Model attention, not a lesion" in line for line in example_result.limits)
    assert any("1 of 1 frames read, 1 with a vote" in value for _, value in example_result.parameters)
