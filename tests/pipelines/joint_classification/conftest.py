"""What the tests of this folder share; one thread for torch: small inputs run slower on two."""

from collections.abc import Iterator

import pytest
import torch

from dicom_sr.findings import Result
from pipelines.joint_classification.example import example
from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network() -> ConvolutionalSupervisedAutoEncoder:
    """A small network for pictures with random weights."""
    torch.manual_seed(0)
    return ConvolutionalSupervisedAutoEncoder(2, channels=(8, 8, 16)).eval()


@pytest.fixture(scope="session")
def example_result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The pipeline's own example: a made-up answer of rheumatoid arthritis on a simulated picture."""
    result = example(tmp_path_factory.mktemp("example")).result
    assert isinstance(result, Result)
    return result
