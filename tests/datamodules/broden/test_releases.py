"""Miniatures of Broden's releases in their real formats, and Broden's own tables, against plain loops."""

import csv
import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advscope.batch import Batch
from datamodules import Broden
from datamodules.broden import write_mask
from datamodules.broden.check import check
from datamodules.broden.index import read_index
from datamodules.broden.labels import read_labels

CATEGORIES = ("color", "object", "part", "material", "scene", "texture")

# As joinseg writes them: sources with one, two and no masks of parts, a scene too rare for a number, materials from
# OpenSurfaces alone, textures as one or more numbers.
ROWS = """ade20k/ADE_train_00003891.jpg,train,c,o,p2,,59,
ade20k/ADE_train_00007082.jpg,val,c,o,p3,,0,
pascal/2010_004760.jpg,train,c,o,p,,,
opensurfaces/25463.jpg,train,c,,,m,,
dtd/g_0106.jpg,val,c,,,,,314;194
dtd/banded_0002.jpg,train,c,,,,,290
"""
NUMBERS = {"color": range(1, 12), "object": (12, 13, 300, 1197), "part": (12, 21), "material": (17, 20)}
WHOLE = {"scene": (59,), "texture": (194, 290, 314)}


def miniature(root: Path, side: int, mask_side: int, columns: tuple[str, ...]) -> None:
    """Write a release of this size with the columns of its index in this order."""
    generator, numbers = np.random.default_rng(side), NUMBERS | WHOLE
    root.mkdir()
    (root / "category.csv").write_text(
        "name,first,last,count,frequency\n" + "".join(f"{name},1,1197,2,9\n" for name in CATEGORIES)
    )
    listed = {
        number: [name for name in CATEGORIES if number in numbers[name]] for name in numbers for number in numbers[name]
    }
    (root / "label.csv").write_text(
        "number,name,category,frequency,coverage,syns\n"
        + "".join(f"{n},name {n},{';'.join(f'{c}(9)' for c in listed[n])},9,1.5,a;b\n" for n in sorted(listed))
    )
    for category in CATEGORIES:
        content = "".join(f"{k},{n},name {n},9,1.5\n" for k, n in enumerate(numbers[category], 1))
        (root / f"c_{category}.csv").write_text("code,number,name,frequency,coverage\n" + content)
    rows = [",".join(("image", "split", "ih", "iw", "sh", "sw", *columns))]
    for image, split, *cells in csv.reader(ROWS.splitlines()):
        path = root / "images" / image
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        coarse.resize((side, side)).save(path)
        written = {}
        for category, cell in zip(CATEGORIES, cells, strict=True):
            names = [cell]
            if cell and cell[0] in "copm":
                stem, count = image[:-4], int(cell[1:] or 1)
                endings = [""] if count == 1 else [f"_{k}" for k in range(1, count + 1)]
                names = [f"{stem}_{category}{ending}.png" for ending in endings]
                for name in names:
                    labels = generator.choice((0, *numbers[category]), (mask_side, mask_side))
                    write_mask(root / "images" / name, labels)
            written[category] = ";".join(names)
        sides = (str(side), str(side), str(mask_side), str(mask_side))
        rows.append(",".join((image, split, *sides, *(written[column] for column in columns))))
    (root / "index.csv").write_text("\n".join(rows) + "\n")


def joined(data: Broden) -> Batch:
    data.setup("test")
    columns = zip(*data.test_dataloader(), strict=True)
    return Batch(*(None if parts[0] is None else torch.cat(parts) for parts in columns))


def plain(root: Path, category: str) -> list[tuple[list[np.ndarray], list[int]]]:
    """Return each row's masks and labels of the whole image in a category."""
    found = []
    for row in csv.DictReader((root / "index.csv").open()):
        tokens = [token for token in row[category].split(";") if token]
        pixels = [np.array(Image.open(root / "images" / token)).astype(int) for token in tokens if "/" in token]
        masks = [image[..., 0] + 256 * image[..., 1] for image in pixels]
        found.append((masks, [int(token) for token in tokens if "/" not in token and int(token)]))
    return found


@pytest.mark.parametrize(
    ("side", "mask_side", "columns"),
    [
        (224, 112, CATEGORIES),
        (227, 113, ("color", "object", "material", "part", "scene", "texture")),
        (227, 114, ("texture", "scene", "part", "object", "material", "color")),
        (384, 192, ("color", "object", "material", "part", "scene", "texture")),
    ],
)
def test_each_release_is_read_as_plain_loops_read_it(
    tmp_path: Path, side: int, mask_side: int, columns: tuple[str, ...]
) -> None:
    root = tmp_path / f"broden1_{side}"
    miniature(root, side, mask_side, columns)
    data = Broden(str(root), size=side, eval_batch_size=4)
    batch = joined(data)

    assert data.categories == CATEGORIES
    assert data.layers == ("color", "object", "part", "part", "part", "material")
    assert batch.images.shape == (6, 3, side, side)
    assert batch.concepts.shape == (6, 6, mask_side, mask_side)
    whole: list[list[int]] = [[] for _ in range(6)]
    for category in CATEGORIES:
        places = [place for place, layer in enumerate(data.layers) if layer == category]
        for index, (masks, numbers) in enumerate(plain(root, category)):
            whole[index] += numbers
            for place, mask in zip(places, masks + [np.zeros((mask_side,) * 2)] * 3, strict=False):
                assert np.array_equal(batch.concepts[index, place], mask)
    assert batch.image_concepts.tolist() == [row + [0] * (2 - len(row)) for row in whole]
    assert whole == [[59], [], [], [], [314, 194], [290]]
    assert joined(Broden(str(root), split="val", size=side)).indices.tolist() == [1, 4]
    for index, row in enumerate(csv.DictReader((root / "index.csv").open())):
        pixels = np.array(Image.open(root / "images" / row["image"]))
        assert torch.equal(batch.images[index] * 255, torch.from_numpy(pixels).permute(2, 0, 1).float())

    checked, _ = check(root)
    assert checked.lines()[0].endswith(f"as in Broden's release {side}")
    assert checked.mask_size == (mask_side, mask_side)
    found = {count.category: (count.found, count.images, count.masks) for count in checked.categories}
    assert found == {
        "color": (11, 6, 6),
        "object": (4, 3, 3),
        "part": (2, 3, 6),
        "material": (2, 1, 1),
        "scene": (1, 1, 0),
        "texture": (3, 2, 0),
    }


@pytest.fixture(scope="module")
def own_tables(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with Broden's own tables and the 32,310 rows of its index, without a file of them."""
    source = shared / "data" / "broden" / "broden1_224_tables"
    if not source.exists():
        pytest.skip("needs shared/data/broden/broden1_224_tables, Broden's own tables")
    root = tmp_path_factory.mktemp("own") / "broden1_224"
    root.mkdir()
    for table in source.glob("*.csv"):
        shutil.copyfile(table, root / table.name)
    with gzip.open(source / "index_object_rows.csv.gz") as file:
        (root / "index.csv").write_bytes(file.read())
    return root


def test_all_rows_of_brodens_own_index_are_read(own_tables: Path) -> None:
    labels = read_labels(own_tables, CATEGORIES)
    images = read_index(own_tables, CATEGORIES, labels, None, look=False)

    rows = list(csv.DictReader((own_tables / "index.csv").open()))
    assert len(images.rows) == len(rows) == 32310
    assert images.layers == ("color", "object", "part", "part", "part")
    assert len(images.unlabelled) == 0
    masks = [[token for name in CATEGORIES for token in row[name].split(";") if token.endswith(".png")] for row in rows]
    assert [[mask.decode() for mask in some if mask] for some in images.masks.tolist()] == masks
    assert images.labels[:, 0].tolist() == [int(row["scene"] or 0) for row in rows]
    chosen = read_index(own_tables, CATEGORIES, labels, "val", look=False)
    assert chosen.rows.tolist() == [place for place, row in enumerate(rows) if row["split"] == "val"]


def test_brodens_own_rows_are_read_with_files_that_are_made(own_tables: Path, tmp_path: Path) -> None:
    root, generator = tmp_path / "some", np.random.default_rng(0)
    root.mkdir()
    for table in own_tables.glob("c*.csv"):
        (root / table.name).symlink_to(table)
    (root / "label.csv").symlink_to(own_tables / "label.csv")
    lines = (own_tables / "index.csv").read_text().splitlines()
    # The first rows, every thousandth, and those of DTD and OpenSurfaces as joinseg writes them.
    some = [*lines[1:4], *lines[1000:-1:4000]]
    some += [
        "dtd/g_0106.jpg,train,224,224,112,112,dtd/g_0106_color.png,,,,,276;237",
        "opensurfaces/1.jpg,val,224,224,112,112,opensurfaces/1_color.png,,,opensurfaces/1_material.png,,",
        "ade20k/rare.jpg,val,224,224,112,112,ade20k/rare_color.png,,,,0,",
    ]
    (root / "index.csv").write_text("\n".join([lines[0], *some]) + "\n")
    labels = read_labels(own_tables, CATEGORIES)
    for row in csv.DictReader((root / "index.csv").open()):
        path = root / "images" / row["image"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (224, 224, 3), dtype=np.uint8)).save(path)
        for category in CATEGORIES:
            for token in row[category].split(";"):
                if token.endswith(".png"):
                    numbers = (0, *sorted(labels.numbers[category]))
                    write_mask(root / "images" / token, generator.choice(numbers, (112, 112)))
    data = Broden(str(root), eval_batch_size=5)
    batch = joined(data)

    assert len(data.concepts) == 1197
    assert len(batch.images) == len(some)
    assert batch.image_concepts[-3:].tolist() == [[276, 237], [0, 0], [0, 0]]
    for category in CATEGORIES:
        places = [place for place, layer in enumerate(data.layers) if layer == category]
        for index, (masks, _) in enumerate(plain(root, category)):
            for place, mask in zip(places, masks, strict=False):
                assert np.array_equal(batch.concepts[index, place], mask)
    assert check(root)[0].images == len(some)
