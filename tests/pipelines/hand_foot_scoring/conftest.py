"""What the tests of this pipeline share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from dicom_sr.findings import Result
from pipelines.hand_foot_scoring import BUNDLE, FILES
from pipelines.hand_foot_scoring.example import example


@pytest.fixture(scope="session")
def networks() -> None:
    """The trained networks; tests of what they can do are skipped as long as none are shipped."""
    lacking = [name for name in FILES if not (BUNDLE / name).exists()]
    if lacking:
        pytest.skip(f"not trained yet (condyle train hand_foot_scoring): {', '.join(lacking)}")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """One thread for torch: small inputs run slower on two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def example_result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The pipeline's own example: scores by lot at known joints, two sites not evaluable, a change since a prior."""
    result = example(tmp_path_factory.mktemp("example"), 450).result
    assert isinstance(result, Result)
    return result
