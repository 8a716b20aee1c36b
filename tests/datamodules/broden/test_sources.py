"""What is refused of users' images, masks and tables, each by one line that names the file; and how masks are found."""

import re
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.broden import write_mask
from datamodules.broden.make import make
from datamodules.broden.source_masks import matched, nearest, read_source_mask

Change = Callable[[Path], object]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Return a folder with two images, a mask of each, and tables."""
    for name in ("images", "masks/object", "masks/part"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("x", "y"):
        Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "images" / f"{name}.jpg")
        Image.fromarray(np.ones((6, 8), np.uint8)).save(tmp_path / "masks/object" / f"{name}.png")
    (tmp_path / "labels.csv").write_text("number,name,category\n1,cat,object\n2,leg,part\n")
    (tmp_path / "whole.csv").write_text("image,category,label\nx.jpg,object,cat\n")
    return tmp_path


def refusal(mine: Path, **settings: object) -> str:
    """Return the one line by which the folder is refused; nothing is left of what was written."""
    given = {"labels": mine / "labels.csv", "image_labels": mine / "whole.csv", "size": 4, **settings}
    with pytest.raises((ValueError, FileNotFoundError)) as raised:
        make(mine / "out", mine / "images", given.pop("masks", mine / "masks"), **given)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    assert not [path for path in mine.iterdir() if path.name.startswith("out")]
    return str(raised.value)


def painted(name: str, pixels: np.ndarray, **settings: object) -> Change:
    return lambda mine: Image.fromarray(pixels).save(mine / name, **settings)


def written(name: str, content: str | bytes) -> Change:
    return lambda mine: (mine / name).write_bytes(content.encode() if isinstance(content, str) else content)


def labels(rows: str) -> Change:
    return written("labels.csv", "number,name,category\n" + rows)


def whole(rows: str) -> Change:
    return written("whole.csv", "image,category,label\n" + rows)


ONES = np.ones((6, 8), np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # Files.
        (painted("masks/object/z.png", ONES), "{mine}/masks/object/z.png belongs to no image: name it like its image,"),
        (painted("masks/object/x.jpg", ONES), "{mine}/masks/object/x.jpg is no PNG file: masks must be, since others"),
        (painted("masks/x.png", ONES), "{mine}/masks/x.png lies in no folder of a category: put masks into a folder"),
        (lambda mine: (mine / "masks/split").mkdir(), "'split' is no name of a category: use letters, digits, _ and -"),
        (lambda mine: (mine / "masks/a b").mkdir(), "'a b' is no name of a category"),
        (painted("images/x.png", ONES), "{mine}/images/x.png and x.jpg have one name but for the ending: rename one"),
        (painted("images/a;b.png", ONES), "{mine}/images/a;b.png has a ';' in its name"),
        (written("images/x.jpg", b"broken"), "{mine}/images/x.jpg is no readable image"),
        # Masks.
        (
            painted("masks/object/x.png", np.ones((8, 6), np.uint8)),
            "{mine}/masks/object/x.png is 8 x 6 pixels, but x.jpg is 6 x 8: masks must have the size of their image",
        ),
        (
            painted("masks/object/x.png", ONES * 9),
            "{mine}/masks/object/x.png has the label 9, which labels.csv does not list in object: complete the table,"
            " correct the mask, or --ignore 9",
        ),
        (painted("masks/object/x.png", ONES * 2), "has the label 2, which labels.csv does not list in object"),
        (painted("masks/object/x.png", np.ones((6, 8, 3), np.uint8)), "x.png is no label mask: blue must be 0"),
        (painted("masks/object/x.png", np.ones((6, 8, 4), np.uint8)), "x.png is a PNG of 8-bit RGB with alpha: write"),
        (painted("masks/object/x.png", np.ones((6, 8, 2), np.uint8)), "x.png is a PNG of 8-bit grey with alpha: write"),
        (written("masks/object/x.png", b"GIF89a"), "{mine}/masks/object/x.png is no PNG file"),
        # Tables.
        (labels("1,cat,object\n1,dog,part\n"), "labels.csv, row 1 (line 3): number 1 is 'cat' already"),
        (labels("1,cat,object\n1,cat,object\n"), "labels.csv, row 1 (line 3): number 1 is in object already"),
        (labels("1,cat,object\n3,cat,object\n"), "labels.csv, row 1 (line 3): object has a label 'cat' already"),
        (labels("1,,object\n"), "labels.csv, row 0 (line 2): name and category must not be empty, got '' and 'object'"),
        (labels("40000,cat,object\n"), "labels.csv, row 0 (line 2): number must be at most 32,767, got 40000"),
        (labels("one,cat,object\n"), "labels.csv, row 0 (line 2): number must be a whole number from 0, got 'one'"),
        (labels(""), "labels.csv lists no labels: give it a row per label"),
        (labels("1,cat,object\n2,x,a b\n"), "'a b' is no name of a category"),
        (written("labels.csv", "number,name\n1,cat\n"), "labels.csv has no column 'category'"),
        (lambda mine: (mine / "labels.csv").unlink(), "labels.csv is missing: name a table with the columns number,"),
        (whole("z.jpg,object,cat\n"), "whole.csv, row 0 (line 2): there is no image 'z.jpg': give its path below"),
        (whole("x,object,dog\n"), "whole.csv, row 0 (line 2): labels.csv lists no label 'dog' in object"),
        (whole("x,object,7\n"), "whole.csv, row 0 (line 2): object has the label 7, which labels.csv does not list"),
        (whole("x,object,\n"), "whole.csv, row 0 (line 2): category and label must not be empty, got 'object' and ''"),
        (lambda mine: (mine / "whole.csv").unlink(), "whole.csv is missing: name a table with the columns image,"),
    ],
)
def test_what_does_not_fit_is_named(mine: Path, change: Change, message: str) -> None:
    change(mine)
    assert message.format(mine=mine) in refusal(mine)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"masks": None, "image_labels": None}, "there is nothing to label the images with: name a folder of masks"),
        ({"masks": "none"}, "none is no folder: name one that holds a folder of masks per category"),
        ({"size": 0}, "size must be at least 1 pixel, got 0"),
        ({"mask_size": 0}, "mask_size must be at least 1 pixel, got 0"),
        ({"source": "a/b"}, "source must be a folder's name without / or ;, got 'a/b'"),
        ({"source": ""}, "source must be a folder's name without / or ;, got ''"),
        ({"colours": "theirs"}, "colours must be ours, none or a .npy file, got 'theirs'"),
        ({"colours": "none.npy"}, "none.npy is missing: name a colour table"),
    ],
)
def test_settings_that_are_not_allowed_are_named(mine: Path, settings: dict[str, object], message: str) -> None:
    assert message in refusal(mine, **settings)


def test_folders_that_are_missing_or_empty_or_in_each_other_are_named(mine: Path) -> None:
    assert refusal(mine, masks=mine / "images").startswith(f"{mine}/images lies in {mine}/images, so that masks would")
    (mine / "empty").mkdir()
    assert refusal(mine, masks=mine / "empty").startswith(f"{mine}/empty holds no folder of masks: put masks into")
    for path in (mine / "images").iterdir():
        path.unlink()
    assert refusal(mine).startswith(f"{mine}/images holds no images (.bmp, .gif, .jpeg, .jpg, .png,")
    (mine / "images").rmdir()
    assert refusal(mine).startswith(f"{mine}/images is no folder: name the one of the images")


def test_colours_are_not_labelled_twice(mine: Path) -> None:
    labels("1,cat,object\n5,red-c,color\n")(mine)
    assert refusal(mine).startswith("color is labelled already, by masks or tables: set colours to none")
    labels("1,cat,object\n32760,dog,object\n")(mine)
    assert refusal(mine).startswith("the labels leave no numbers for colours up to 32,767: set colours to none")


def test_without_a_table_a_number_has_one_category(mine: Path) -> None:
    painted("masks/part/x.png", ONES)(mine)
    message = refusal(mine, labels=None, image_labels=None)
    assert message.startswith(f"{mine}/masks/part/x.png has the label 1, as object has (a table must tell whether they")
    painted("masks/part/x.png", np.full((6, 8), 40_000, np.uint16))(mine)
    assert "x.png has the label 40000, and numbers must be at most 32,767" in refusal(mine, labels=None)
    for category in ("object", "part"):
        for path in (mine / "masks" / category).iterdir():
            painted(f"masks/{category}/{path.name}", ONES * 0)(mine)
    assert refusal(mine, labels=None, image_labels=None).endswith("masks holds no label: every number is 0 or ignored")


def test_two_images_that_would_be_written_as_one_file_are_named(mine: Path) -> None:
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(mine / "images" / "x_object.png")
    painted("masks/object/x_object.png", ONES)(mine)
    assert "x and x_object would both be written as images/x_object.png: rename one of the images" in refusal(mine)


def test_masks_belong_to_the_image_of_their_name_before_that_of_their_channel(tmp_path: Path) -> None:
    for name in ("x.png", "x_2.png", "x_10.png", "x_1.png", "d/y_3.png", "d/y_3_1.PNG", ".x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = matched(tmp_path, frozenset({"x", "x_1", "d/y_3"}))
    assert {stem: [path.relative_to(tmp_path).as_posix() for path in paths] for stem, paths in found.items()} == {
        "x": ["x.png", "x_2.png", "x_10.png"],
        "x_1": ["x_1.png"],
        "d/y_3": ["d/y_3.png", "d/y_3_1.PNG"],
    }


@pytest.mark.parametrize("shape", [(4, 6), (10, 16), (2, 50), (12, 20)])
def test_scaling_takes_what_pil_takes(shape: tuple[int, int]) -> None:
    # Odd sides to even ones: no centre falls on a border, where PIL's rounding would decide.
    mask = np.random.default_rng(0).integers(0, 2**16, (7, 11)).astype(np.uint16)
    expected = Image.fromarray(mask.astype(np.int32)).resize(shape[::-1], Image.Resampling.NEAREST)
    assert np.array_equal(nearest(mask, *shape), np.asarray(expected))


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (6, 8), (3, 4), (13, 20)])
def test_a_centre_on_a_border_takes_what_comes_after_it(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).integers(0, 2**16, (6, 8)).astype(np.uint16)
    rows, columns = (
        [int((Fraction(1, 2) + place) * old / new) for place in range(new)]
        for new, old in zip(shape, (6, 8), strict=True)
    )
    assert nearest(mask, *shape).tolist() == [[int(mask[row, column]) for column in columns] for row in rows]


def test_masks_of_every_form_are_read(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).integers(0, 256, (5, 7))
    path = tmp_path / "mask.png"
    Image.fromarray(numbers.astype(np.uint8)).save(path, transparency=3)
    assert np.array_equal(read_source_mask(path), numbers)
    Image.fromarray((numbers * 257).astype(np.uint16)).save(path)
    assert np.array_equal(read_source_mask(path), numbers * 257)
    write_mask(path, numbers * 257)
    assert np.array_equal(read_source_mask(path), numbers * 257)
    for bits in (1, 2, 4, 8):
        few = numbers % 2**bits
        # The colours of the palette say nothing: here they run the other way, and one is transparent.
        image = Image.fromarray(few.astype(np.uint8), "P")
        image.putpalette([255 - k // 3 for k in range(3 * 2**bits)])
        image.save(path, bits=bits, transparency=0)
        assert path.read_bytes()[24] == bits
        found = read_source_mask(path)
        assert np.array_equal(found, few)
        assert found.dtype == np.uint16
    Image.fromarray(numbers % 2 == 1).save(path)
    assert np.array_equal(read_source_mask(path), numbers % 2)


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_of_few_bits_is_refused_since_it_would_be_scaled(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "mask.png"
    rows = b"".join(b"\0" + bytes([0b0110_1100] * (bits // 2)) for _ in range(4))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 4, 4, bits, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    content = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    # PIL reads it, and stretches its levels to 255.
    assert np.asarray(Image.open(path)).max() > 2**bits
    with pytest.raises(ValueError, match=re.escape(f"mask.png is a PNG of {bits}-bit grey: write label numbers as")):
        read_source_mask(path)
