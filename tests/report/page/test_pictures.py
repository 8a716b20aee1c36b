"""Tests of the pictures inside the page."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from advscope.report.page.pictures import Pictures, levels, to_bytes


def decoded(address: str) -> np.ndarray:
    head, _, body = address.partition(",")
    assert head == "data:image/webp;base64"
    return np.array(Image.open(io.BytesIO(base64.b64decode(body))))


def test_pictures_come_back_exactly_and_are_stored_once() -> None:
    random = np.random.default_rng(0)
    one, other = random.integers(0, 256, (2, 17, 23, 3), dtype=np.uint8)
    pictures = Pictures()

    assert [pictures.add(one), pictures.add(other), pictures.add(one.copy())] == [0, 1, 0]
    assert len(pictures.addresses) == 2
    assert (decoded(pictures.addresses[0]) == one).all()
    assert (decoded(pictures.addresses[1]) == other).all()


def test_a_map_comes_back_in_each_channel() -> None:
    field = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pictures = Pictures()
    pictures.add(field)

    assert (decoded(pictures.addresses[0]) == field[..., None]).all()


def test_the_same_bytes_in_another_shape_are_another_picture() -> None:
    pictures = Pictures()
    assert pictures.add(np.zeros((4, 6), np.uint8)) != pictures.add(np.zeros((6, 4), np.uint8))


def test_images_in_255ths() -> None:
    image = np.array([0.0, 1 / 255, 0.5, 1.2]).reshape(1, 1, 4)

    assert to_bytes(image)[0].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]
    with pytest.raises(ValueError, match="1 or 3 channels to be shown, got 4"):
        to_bytes(np.zeros((4, 2, 2)))


def test_levels_are_within_half_a_step_of_the_map() -> None:
    field = np.random.default_rng(0).normal(size=(20, 20)) * 5
    low, high = field.min(), field.max()

    back = low + levels(field, low, high) / 255 * (high - low)

    assert np.abs(back - field).max() <= (high - low) / 510 * (1 + 1e-9)
    assert levels(np.full((2, 2), 3.0), 3.0, 3.0).tolist() == [[0, 0], [0, 0]]
