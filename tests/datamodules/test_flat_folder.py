"""Tests of a val/ without class folders, whose labels come from a list."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from datamodules import ImageNet
from datamodules.class_folders import Classes
from datamodules.flat_folder import is_flat, listed_classes, scan_flat

CLASSES = Classes(("n01440764", "n02100735", "n02119789"), ("tench", "setter", "fox"))
FILES = [f"ILSVRC2012_val_0000000{number}.JPEG" for number in (1, 2, 3, 4)]
OFFICIAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "imagenet" / "ILSVRC2012_val_labels_0based.txt"


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Return a root with a flat val/ of four files and one that is no image; the shade is the place."""
    folder = tmp_path / "root" / "val"
    folder.mkdir(parents=True)
    for place, file in enumerate(reversed(FILES)):
        Image.new("L", (9, 8), (3 - place) * 50).save(folder / file)
    (folder / "notes.txt").write_text("not an image")
    return folder.parent


def listed(flat: Path, text: str) -> Path:
    path = flat.parent / "labels.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "2\n0\n0\n1\n",
        "\n".join(f"{file} {label}" for file, label in reversed(list(zip(FILES, "2001", strict=True)))),
        "".join(
            f"{file}\tn0{label}\n" for file, label in zip(FILES, (2119789, 1440764, 1440764, 2100735), strict=True)
        ),
        f"{FILES[0]} n02119789\n{FILES[1]} 0\n{FILES[2]} 0\n{FILES[3]} 1\nabsent.JPEG 2\n",
    ],
    ids=["numbers in order", "files and numbers", "files and synsets", "mixed, and a file that is not there"],
)
def test_lists_in_all_forms_give_the_same_classes(flat: Path, text: str) -> None:
    files = scan_flat(flat / "val", listed(flat, text), CLASSES)

    assert [Path(files.path(place)).name for place in range(4)] == FILES
    assert files.labels.tolist() == [2, 0, 0, 1]
    assert files.labels.dtype == torch.int64


def test_the_devkit_gives_labels_and_classes(write_devkit, flat: Path) -> None:
    kit = write_devkit(flat.parent / "devkit", "1\n3\n3\n2\n")
    data = ImageNet(str(flat), labels=str(kit), size=4)
    data.setup("test")

    assert data.files("test").labels.tolist() == [2, 0, 0, 1]
    assert data.class_names == ("tench", "English setter", "kit fox")
    with pytest.raises(ValueError, match="short gives 2 labels for 4 images"):
        scan_flat(flat / "val", write_devkit(flat.parent / "short", "1\n3\n"), CLASSES)


def test_each_image_comes_with_its_own_label(flat: Path) -> None:
    data = ImageNet(str(flat), labels=str(listed(flat, "7\n0\n3\n5\n")), size=4, eval_batch_size=3)
    data.setup("test")
    batches = list(data.test_dataloader())
    indices, labels, images = (torch.cat([batch[place] for batch in batches]) for place in (2, 1, 0))

    assert sorted(indices.tolist()) == [0, 1, 2, 3]
    assert torch.equal(labels, torch.tensor([7, 0, 3, 5])[indices])
    assert torch.equal((images.mean((1, 2, 3)) * 255).round().long(), indices * 50)
    # Plain numbers do not say how many classes there are: as many as the highest needs.
    assert data.class_names == tuple("01234567")


def test_classes_come_from_the_training_folders_or_the_names_in_the_list(flat: Path) -> None:
    names = "".join(f"{file} {name}\n" for file, name in zip(FILES, ("cat", "ant", "ant", "bee"), strict=True))
    labels = listed(flat, names)
    assert ImageNet(str(flat), labels=str(labels)).class_names == ("ant", "bee", "cat")
    assert listed_classes(labels).folders == ("ant", "bee", "cat")
    for name in ("ant", "bear", "bee", "cat"):
        (flat / "train" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(flat / "train" / name / "1.png")
    data = ImageNet(str(flat), labels=str(labels))
    data.setup("fit")
    assert data.files("test").labels.tolist() == [3, 0, 0, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2\n", r"labels.txt gives 2 labels for 4 images in .*val: both must be complete"),
        ("", "is empty"),
        ("2\n0\n3\n1\n", r"gives ILSVRC2012_val_00000003.JPEG the class '3', .* allowed are 0 ... 2 or a class"),
        ("2\n0\n-1\n1\n", "the class '-1', which is not known"),
        (f"{FILES[0]} 1\n{FILES[1]} 1\n", f"lists no class of 2 of the 4 images in .*first of them {FILES[2]}"),
        (f"{FILES[0]} 1\n{FILES[0]} 2\n", f"line 2: {FILES[0]} is listed before"),
        (f"{FILES[0]} 1\n{FILES[1]}\n", 'line 2: .* must be "FILE CLASS"'),
        ("".join(f"{file} n9\n" for file in FILES), "the class 'n9', which is not known"),
    ],
)
def test_rejects_lists(flat: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        scan_flat(flat / "val", listed(flat, text), CLASSES)

    assert "\n" not in str(raised.value)


def test_rejects_a_list_that_is_missing_or_not_needed(flat: Path, ilsvrc: Path) -> None:
    with pytest.raises(ValueError, match="holds images and no class folders: set labels to a file"):
        ImageNet(str(flat)).setup("test")
    with pytest.raises(FileNotFoundError, match=r"none.txt \(labels\) is missing"):
        ImageNet(str(flat), labels=str(flat / "none.txt")).setup("test")
    with pytest.raises(ValueError, match="their names say the classes; set labels to null"):
        ImageNet(str(ilsvrc), labels=str(listed(flat, "1\n"))).setup("test")
    assert is_flat(flat / "val")
    assert not is_flat(ilsvrc / "val")


@pytest.mark.skipif(not OFFICIAL.exists(), reason="needs shared/data/imagenet, the official labels")
def test_the_official_list_labels_fifty_thousand_files(tmp_path: Path) -> None:
    folder = tmp_path / "val"
    folder.mkdir()
    for number in range(1, 50_001):
        (folder / f"ILSVRC2012_val_{number:08d}.JPEG").touch()

    data = ImageNet(str(tmp_path), labels=str(OFFICIAL), subset_classes=100, images_per_class=10)

    assert data.files("test").labels[:3].tolist() == [65, 970, 230]
    assert data.files("test").labels.bincount().tolist() == [50] * 1000
    assert data.num_classes == 1000
    labels = data.classes_of("test")
    assert len(data.split_indices("test")) == 1000
    assert sorted(labels.bincount().unique().tolist()) == [0, 10]
    # Any beginning is a fair sample: a quarter of it has nearly all classes.
    assert len(labels[:250].unique()) > 85
