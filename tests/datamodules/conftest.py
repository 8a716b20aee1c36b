"""Miniatures of ILSVRC2012 and of its development kit for the tests of stored images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

SYNSETS = ("n01440764", "n01443537", "n02084071")

# ILSVRC2012_ID, WNID, words, number of children: ids are in another order than the synsets.
ROWS = [
    (1, "n02119789", "kit fox, Vulpes macrotis", 0),
    (2, "n02100735", "English setter", 0),
    (3, "n01440764", "tench, Tinca tinca", 0),
    (4, "n00001740", "entity", 3),
]


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


@pytest.fixture
def write_devkit() -> Callable[..., Path]:
    """Return what writes meta.mat as MATLAB saves an array of structs, and the ground truth."""

    def write(folder: Path, truth: str, rows: list[tuple[int, str, str, int]] = ROWS) -> Path:
        """Write meta.mat as MATLAB saves an array of structs, and the ground truth."""
        (folder / "data").mkdir(parents=True)
        fields = [(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children")]
        synsets = np.empty((len(rows), 1), dtype=fields)
        for place, (number, synset, words, children) in enumerate(rows):
            synsets[place, 0] = (number, synset, words, "a gloss", children, np.arange(1, children + 1))
        savemat(folder / "data" / "meta.mat", {"synsets": synsets})
        (folder / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)
        return folder

    return write
