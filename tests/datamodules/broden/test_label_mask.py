"""Label masks: every number there is, to the file and back."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.broden.label_mask import check_header, read_mask, write_mask


def test_every_number_comes_back(tmp_path: Path) -> None:
    path = str(tmp_path / "mask.png")
    labels = np.arange(2**16).reshape(128, 512)
    write_mask(path, labels)
    check_header(path, 128, 512)

    assert np.array_equal(read_mask(path, 128, 512), labels)
    with Image.open(path) as picture:
        assert [picture.getpixel((x, y)) for x, y in ((0, 0), (300, 0), (511, 127))] == [
            (0, 0, 0),
            (300 - 256, 1, 0),
            (255, 255, 0),
        ]


@pytest.mark.parametrize("number", [-1, 2**16])
def test_numbers_that_do_not_fit_are_refused(tmp_path: Path, number: int) -> None:
    with pytest.raises(ValueError, match=r"labels must be 0 \.\.\. 65,535, got"):
        write_mask(tmp_path / "mask.png", np.array([[0, number]]))
    assert not list(tmp_path.iterdir())


def test_sixteen_bits_a_channel_are_refused(tmp_path: Path) -> None:
    # PIL would silently take the upper byte of each.
    path = tmp_path / "mask.png"
    write_mask(path, np.zeros((2, 3), int))
    content = bytearray(path.read_bytes())
    content[24] = 16
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no 8-bit RGB"):
        check_header(str(path), 2, 3)


def test_a_folder_is_no_mask(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no readable mask"):
        check_header(str(tmp_path), 2, 3)
