"""A miniature of ILSVRC2012 for the tests of stored images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SYNSETS = ("n01440764", "n01443537", "n02084071")


@pytest.fixture(scope="session")
def ilsvrc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with three synsets of ten training and two test images each, of different sizes; not to change."""
    folder = tmp_path_factory.mktemp("ilsvrc")
    generator = np.random.default_rng(0)
    for part, count in (("train", 10), ("val", 2)):
        for synset in SYNSETS:
            (folder / part / synset).mkdir(parents=True)
            for number in range(count):
                coarse = generator.integers(0, 256, (5, 6, 3), dtype=np.uint8)
                size = tuple(generator.integers(40, 70, 2).tolist())
                Image.fromarray(coarse).resize(size).save(folder / part / synset / f"{synset}_{number}.JPEG")
    return folder
