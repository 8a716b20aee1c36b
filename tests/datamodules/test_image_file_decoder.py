"""Tests of decoding stored images where some are broken."""

from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import ImageNet
from datamodules.class_folders import Classes, ImageFiles, scan
from datamodules.image_file_decoder import ImageFileDecoder
from datamodules.preprocessing import choose

SETTINGS = choose(24, 28, None, 0.08)


@pytest.fixture
def files(ilsvrc: Path, tmp_path: Path) -> ImageFiles:
    """Return 30 files, of which 4, 5 and 29 are broken: no image, cut off, empty."""
    whole = scan(ilsvrc / "train", Classes(*[tuple(sorted(p.name for p in (ilsvrc / "train").iterdir()))] * 2))
    for place in range(30):
        path = tmp_path / bytes(whole.paths[place]).decode()
        path.parent.mkdir(exist_ok=True)
        content = Path(whole.path(place)).read_bytes()
        path.write_bytes({4: b"a text", 5: content[: len(content) // 2], 29: b""}.get(place, content))
    return whole._replace(folder=str(tmp_path))


def decoder(files: ImageFiles, *, training: bool, pool: list[int] | None = None) -> ImageFileDecoder:
    where = None if pool is None else torch.tensor(pool)
    return ImageFileDecoder(files, SETTINGS, 3, training, skip=True, pool=where)


def test_evaluation_leaves_broken_images_out_and_names_them(files: ImageFiles) -> None:
    wanted = torch.tensor([7, 4, 5, 0, 29])
    batch, broken = decoder(files, training=False).decode_noting(wanted, 0)
    expected = ImageFileDecoder(files, SETTINGS, 3, False).decode(torch.tensor([7, 0]), 0)

    assert all(torch.equal(one, other) for one, other in zip(batch[:3], expected[:3], strict=True))
    assert list(broken) == [4, 5, 29]
    assert all(files.path(index) in line and "\n" not in line for index, line in broken.items())
    assert "truncated" in broken[5].lower()


def test_a_batch_of_broken_images_alone_is_empty(files: ImageFiles) -> None:
    batch, broken = decoder(files, training=False).decode_noting(torch.tensor([5, 4]), 0)

    assert batch.images.shape == (0, 3, 24, 24)
    assert (batch.images.dtype, batch.labels.dtype, batch.indices.dtype) == (torch.uint8, torch.int64, torch.int64)
    assert len(broken) == 2


def test_training_takes_the_next_image_of_the_pool_with_its_own_crop(files: ImageFiles) -> None:
    pool = [0, 2, 4, 5, 9, 12, 29]
    chosen = decoder(files, training=True, pool=pool)
    batch, broken = chosen.decode_noting(torch.tensor([12, 5, 29, 2, 4]), 6)
    sound = ImageFileDecoder(files, SETTINGS, 3, True)

    assert batch.indices.tolist() == [12, 9, 0, 2, 9]
    assert set(broken) == {4, 5, 29}
    for place, index in enumerate(batch.indices.tolist()):
        alone = sound.decode(torch.tensor([index]), 6)
        assert torch.equal(batch.images[place], alone.images[0])
        assert batch.labels[place] == alone.labels[0]


def test_training_on_broken_images_alone_ends(files: ImageFiles) -> None:
    with pytest.raises(ValueError, match="none of the 2 training images is readable"):
        decoder(files, training=True, pool=[4, 5]).decode(torch.tensor([4]), 0)
    with pytest.raises(ValueError, match="needs a pool"):
        decoder(files, training=True)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_datamodule_counts_them_and_keeps_the_size_of_training_batches(files: ImageFiles, num_workers: int) -> None:
    settings = {"size": 24, "batch_size": 8, "eval_batch_size": 4, "num_workers": num_workers}
    root = Path(files.folder)
    (root / "train").mkdir()
    for folder in sorted(root.iterdir()):
        if folder.name != "train":
            folder.rename(root / "train" / folder.name)
    data = ImageNet(str(root), validation_images=3, broken="skip", **settings)
    data.setup("fit")
    train = data.split_indices("train").tolist()
    given = [batch.indices.tolist() for batch in data.train_dataloader()]

    assert [len(batch) for batch in given] == [8, 8, 8]
    assert {index for batch in given for index in batch} <= set(train) - {4, 5, 29}
    assert set(data.broken) <= {4, 5, 29} & set(train)
    assert len(data.broken) > 0
    tested = ImageNet(str(root / "train"), broken="skip", **settings)
    tested.setup("test")
    batches = list(tested.test_dataloader())
    order = [index for index in tested.split_indices("test").tolist() if index not in (4, 5, 29)]
    assert torch.cat([batch.indices for batch in batches]).tolist() == order
    assert len(batches) == 8
    assert set(tested.broken) == {4, 5, 29}
    tested.setup("test")
    assert tested.broken == {}
    with pytest.raises(ValueError, match=r"is no readable image"):
        list(ImageNet(str(root / "train"), **settings).test_dataloader())


def test_pixels_do_not_depend_on_broken_neighbours(files: ImageFiles) -> None:
    pool = list(range(30))
    chosen, sound = decoder(files, training=True, pool=pool), ImageFileDecoder(files, SETTINGS, 3, True)
    with_broken = chosen.decode(torch.tensor([3, 4, 20]), 1)

    np.testing.assert_array_equal(with_broken.images[[0, 2]], sound.decode(torch.tensor([3, 20]), 1).images)
