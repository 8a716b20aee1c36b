"""Tests of CIFAR-10, on miniatures in its real format and on real images where they are at hand."""

import functools
import hashlib
import http.server
import io
import pickle
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from pytorch_lightning import LightningDataModule
from torchvision import datasets

from datamodules import CIFAR10, CropFlip

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SHARED = Path(__file__).resolve().parents[3] / "shared"
TOOL = SHARED / "tools" / "make_cifar10.py"
OFFICIAL = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]

pytestmark = pytest.mark.filterwarnings("ignore:.*read without verifying checksums")


def rows(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def write(path: Path, content: dict[Any, Any], protocol: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))


def batch(count: int, seed: int) -> dict[str, Any]:
    return {
        "data": rows(count, seed),
        "labels": [(seed + row) % 10 for row in range(count)],
        "batch_label": "miniature",
    }


def miniature(root: Path, counts: tuple[int, ...] = (12, 8, 4, 4, 4), test: int = 10) -> Path:
    """Write a few images in the official files, and return their folder."""
    folder = root / "cifar-10-batches-py"
    for number, count in enumerate(counts, start=1):
        write(folder / f"data_batch_{number}", batch(count, number))
    write(folder / "test_batch", batch(test, 0))
    write(folder / "batches.meta", {"label_names": NAMES, "num_vis": 3072})
    return folder


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def official_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Miniature files whose checksums torchvision takes for the official ones."""
    folder = miniature(tmp_path / "official")
    sums = [[name, md5(folder / name)] for name in OFFICIAL]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", sums[5:6])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums[6][1]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return folder


@pytest.fixture
def served(official_sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The miniature files as an archive behind a real address."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(official_sums, arcname="cifar-10-batches-py")
    served = tmp_path / "served"
    served.mkdir()
    (served / "cifar-10-python.tar.gz").write_bytes(content.getvalue())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/cifar-10-python.tar.gz"
    monkeypatch.setattr(datasets.CIFAR10, "url", address)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(content.getvalue()).hexdigest())
    yield
    server.shutdown()
    server.server_close()


def test_reads_the_official_files_as_torchvision_does(official_sums: Path) -> None:
    data = CIFAR10(str(official_sums.parent))
    reference = datasets.CIFAR10(str(official_sums.parent), train=True)
    train, val = data.split("train"), data.split("val")

    # 32 training images: the last tenth, rounded down, is 3.
    assert (len(train.labels), len(val.labels)) == (29, 3)
    assert sorted(torch.cat([train.indices, val.indices]).tolist()) == list(range(32))
    for split in (train, val):
        expected = torch.from_numpy(reference.data).permute(0, 3, 1, 2)[split.indices]
        assert torch.equal(split.images, expected)
        assert split.labels.tolist() == [reference.targets[index] for index in split.indices]
    test = datasets.CIFAR10(str(official_sums.parent), train=False)
    assert torch.equal(data.split("test").images, torch.from_numpy(test.data).permute(0, 3, 1, 2))
    assert data.split("test").indices.tolist() == list(range(10))


def test_the_real_md5s_are_required_by_default(tmp_path: Path) -> None:
    folder = miniature(tmp_path)
    with pytest.raises(
        ValueError, match=r"batches.meta is not the official file \(md5 .*: delete it .* verify to false"
    ):
        CIFAR10(str(tmp_path)).setup("fit")
    assert CIFAR10(str(tmp_path))._official()[folder / "test_batch"] == "40351d587109b95175f43aff81a1287e"


def test_one_changed_bit_is_found(official_sums: Path) -> None:
    path = official_sums / "data_batch_3"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"data_batch_3 is not the official file \(md5 \w{32}, official \w{32}\)"):
        CIFAR10(str(official_sums.parent)).setup("fit")
    CIFAR10(str(official_sums.parent)).setup("test")


def test_without_verifying_any_number_of_files_and_rows_is_read_with_a_warning(tmp_path: Path) -> None:
    folder = miniature(tmp_path, counts=(3, 5, 4, 2, 2, 2, 2, 2, 2, 7))
    (folder / "batches.meta").unlink()
    data = CIFAR10(str(tmp_path), verify=False)
    data.prepare_data()

    with pytest.warns(
        UserWarning, match="read without verifying checksums, 31 images from data_batch_1, .*data_batch_10"
    ):
        train, val = data.split("train"), data.split("val")

    # Files in the order of their numbers: row 24 is the first of data_batch_10.
    images = torch.cat([train.images, val.images])[torch.cat([train.indices, val.indices]).argsort()]
    assert images.shape == (31, 3, 32, 32)
    assert np.array_equal(images[24].numpy().ravel(), rows(7, 10)[0])


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("keys", [str, str.encode])
def test_reads_keys_of_text_and_of_bytes_of_every_protocol(tmp_path: Path, protocol: int, keys: Any) -> None:
    folder = miniature(tmp_path)
    write(folder / "test_batch", {keys(key): value for key, value in batch(10, 3).items()}, protocol)
    write(folder / "batches.meta", {keys("label_names"): [keys(name) for name in NAMES]}, protocol)

    split = CIFAR10(str(tmp_path), verify=False).split("test")

    assert np.array_equal(split.images.numpy().reshape(10, -1), rows(10, 3))
    assert split.labels.tolist() == batch(10, 3)["labels"]


def test_held_out_images_are_the_same_for_every_seed_and_spread_over_the_files(tmp_path: Path) -> None:
    miniature(tmp_path, counts=(100, 100))
    one, other = (CIFAR10(str(tmp_path), verify=False, seed=seed) for seed in (0, 1))

    assert torch.equal(one.split_indices("val"), other.split_indices("val"))
    assert len(one.split_indices("val")) == 20
    assert 2 < int((one.split_indices("val") < 100).sum()) < 18
    assert not set(one.split_indices("val").tolist()) & set(one.split_indices("train").tolist())


def test_training_images_are_augmented_by_default_and_others_never(tmp_path: Path) -> None:
    miniature(tmp_path)
    data = CIFAR10(str(tmp_path), verify=False, batch_size=29)
    assert type(data.augmentation) is CropFlip

    trained, held_out = next(iter(data.train_dataloader())), next(iter(data.val_dataloader()))

    by_index = dict(zip(data.split("train").indices.tolist(), data.split("train").images, strict=True))
    plain = torch.stack([by_index[index] for index in trained.indices.tolist()])
    expected, _ = CropFlip(4)(plain, trained.indices, seed=0, epoch=0)
    assert torch.equal(trained.images * 255, expected.float())
    assert not torch.equal(expected, plain)
    assert torch.equal(held_out.images * 255, data.split("val").images.float())


def test_test_indices_restrict_the_test_set_in_their_order(tmp_path: Path) -> None:
    miniature(tmp_path)
    whole = CIFAR10(str(tmp_path), verify=False)
    (tmp_path / "rows.txt").write_text("7\n0\n3\n")
    np.save(tmp_path / "rows.npy", np.array([7, 0, 3]))

    for name in ("rows.txt", "rows.npy"):
        part = CIFAR10(str(tmp_path), verify=False, test_indices=str(tmp_path / name))
        assert part.split("test").indices.tolist() == [7, 0, 3]
        assert torch.equal(part.split("test").images, whole.split("test").images[[7, 0, 3]])
        assert torch.equal(part.split("test").labels, whole.split("test").labels[[7, 0, 3]])
        assert part.checksum("test") != whole.checksum("test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n10\n", "lists row 10, the test file has rows 0 ... 9"),
        ("-1\n", "lists row -1"),
        ("1\n2\n1\n", "lists row 1 more than once"),
        ("1.5\n", "must list one whole number a line"),
        ("", "must list whole numbers"),
    ],
)
def test_rejects_test_indices(tmp_path: Path, text: str, message: str) -> None:
    miniature(tmp_path)
    (tmp_path / "rows.txt").write_text(text)

    with pytest.raises(ValueError, match=message) as raised:
        CIFAR10(str(tmp_path), verify=False, test_indices=str(tmp_path / "rows.txt")).setup("test")

    assert "rows.txt" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_rejects_other_arrays_and_missing_files_of_test_indices(tmp_path: Path) -> None:
    miniature(tmp_path)
    np.save(tmp_path / "rows.npy", np.array([0.5]))
    with pytest.raises(ValueError, match=r"rows.npy .* must list whole numbers, got float64"):
        CIFAR10(str(tmp_path), verify=False, test_indices=str(tmp_path / "rows.npy")).setup("test")
    with pytest.raises(FileNotFoundError, match=r"none.txt \(test_indices\) is missing"):
        CIFAR10(str(tmp_path), verify=False, test_indices=str(tmp_path / "none.txt")).setup("test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 1, 10, 3]}, "gives row 2 the label 10, outside 0 ... 9"),
        ({"labels": [0, -1, 1, 3]}, "gives row 1 the label -1"),
        ({"labels": [0, 1]}, r"has 4 rows of pixels but labels of shape \(2,\)"),
        ({"labels": ["a", "b", "c", "d"]}, "has 4 rows of pixels but labels"),
        ({"data": np.zeros((4, 3071), np.uint8)}, r"rows of shape \(4, 3071\), expected uint8 \(N, 3072\)"),
        ({"data": np.zeros((4, 3072), np.float32)}, "holds float32 rows"),
        ({"data": [1, 2]}, r"lacks data or labels \(it has batch_label, data, labels\)"),
        ({"labels": print}, "is not a readable pickle of arrays: it asks for __builtin__.print"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = miniature(tmp_path)
    write(folder / "data_batch_2", {**batch(4, 2), **change})

    with pytest.raises(ValueError, match=message) as raised:
        CIFAR10(str(tmp_path), verify=False).setup("fit")

    assert "data_batch_2" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_rejects_the_classes_of_another_data_set(tmp_path: Path) -> None:
    folder = miniature(tmp_path)
    write(folder / "batches.meta", {"label_names": NAMES[::-1]})

    with pytest.raises(ValueError, match=r"batches.meta does not name the ten classes of CIFAR-10"):
        CIFAR10(str(tmp_path), verify=False).setup("test")


def test_a_missing_file_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"batches.meta is missing: call prepare_data"):
        CIFAR10(str(tmp_path)).setup("fit")
    with pytest.raises(FileNotFoundError, match="holds no data_batch_"):
        CIFAR10(str(tmp_path), verify=False).setup("fit")


@pytest.mark.usefixtures("served")
def test_prepare_data_downloads_what_is_missing(tmp_path: Path) -> None:
    data = CIFAR10(str(tmp_path / "new"))
    data.prepare_data()
    data.setup("fit")
    (data.folder / "data_batch_4").unlink()
    data.prepare_data()

    assert len(data.split("train").labels) == 29
    assert all((data.folder / name).exists() for name in OFFICIAL)


def test_files_of_ones_own_are_not_downloaded_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = miniature(tmp_path, counts=(5,))
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/nothing.tar.gz")

    CIFAR10(str(tmp_path), verify=False).prepare_data()

    assert not (folder / "data_batch_2").exists()


def test_a_failed_download_is_one_line_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        datasets.CIFAR10, "url", "http://127.0.0.1:9/nothing.tar.gz"
    )  # the discard port: nobody listens

    with pytest.raises(
        FileNotFoundError, match=r"data_batch_1 is missing, and downloading .* failed .*: unpack"
    ) as raised:
        CIFAR10(str(tmp_path)).prepare_data()

    assert "\n" not in str(raised.value)


def test_a_config_can_be_written_and_read_back() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    config = parser.parse_args(["--data=datamodules.CIFAR10", "--data.root=here"])
    again = parser.parse_string(parser.dump(config))
    without = parser.parse_args(["--data=datamodules.CIFAR10", "--data.augmentation=null"])

    data = parser.instantiate(again).data
    assert (type(data.augmentation), data.augmentation.padding, data.root) == (CropFlip, 4, Path("here"))
    assert parser.instantiate(without).data.augmentation is None
    assert pickle.loads(pickle.dumps(CIFAR10("here"))).root == Path("here")


@pytest.mark.skipif(not TOOL.exists(), reason=f"needs {TOOL.relative_to(SHARED.parent)}, real images")
def test_the_real_images(tmp_path: Path) -> None:
    subprocess.run([sys.executable, TOOL, tmp_path, "--exact-only"], check=True)
    data = CIFAR10(str(tmp_path), verify=False)
    exact = np.load(SHARED / "data" / "cifar10" / "cifar10_lossless.npz", allow_pickle=False)

    train, val, test = (data.split(name) for name in ("train", "val", "test"))

    assert (len(train.labels), len(val.labels), len(test.labels)) == (7262, 806, 1195)
    assert np.array_equal(test.images.permute(0, 2, 3, 1).numpy(), exact["test_images"])
    assert np.array_equal(test.labels.numpy(), exact["test_labels"])
    assert np.array_equal(val.images.permute(0, 2, 3, 1).numpy(), exact["train_images"][val.indices])
    assert np.array_equal(train.labels.numpy(), exact["train_labels"][train.indices])
    # Held out at random: each class has about 80 of the 806 images.
    assert torch.bincount(val.labels, minlength=10).min() > 50
