"""The planted non-robust feature."""

import numpy as np
import pytest

from datamodules.rendering import class_patterns


def test_is_plus_or_minus_one_and_repeats_every_four_pixels():
    patterns = class_patterns(10, 32)
    assert patterns.shape == (10, 32, 32)
    assert set(np.unique(patterns)) == {-1, 1}
    assert (patterns[:, 4:] == patterns[:, :-4]).all()
    assert (patterns[:, :, 4:] == patterns[:, :, :-4]).all()


def test_vanishes_when_blurred_over_two_rows():
    # Each second row is the inverse of the one above: -1 + 1 = 0.
    patterns = class_patterns(10, 32)
    assert (patterns[:, 0::2] + patterns[:, 1::2] == 0).all()


def test_no_class_is_another_one_moved_or_mirrored():
    tiles = class_patterns(10, 4)
    for one in range(10):
        for other in range(one):
            for tile in (tiles[other], tiles[other][:, ::-1]):
                for down in range(4):
                    for right in range(4):
                        assert (np.roll(tile, (down, right), (0, 1)) != tiles[one]).any()


@pytest.mark.parametrize("size", [16, 33, 50])
def test_a_larger_picture_continues_the_pattern(size):
    assert (class_patterns(10, size) == np.tile(class_patterns(10, 4), (1, 20, 20))[:, :size, :size]).all()


def test_names_what_is_too_many():
    with pytest.raises(ValueError, match="there are not 300 different patterns"):
        class_patterns(300, 32)
