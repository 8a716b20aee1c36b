"""Where the tests of networks find published weights and real images."""

from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).parents[2] / "../shared/data"


@pytest.fixture
def shared() -> Path:
    """The folder of published weights and real images."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared/data with published weights and real images is not there")
    return SHARED.resolve()


@pytest.fixture(autouse=True)
def seed() -> None:
    """Let every test start from the same weights and images."""
    torch.manual_seed(0)
