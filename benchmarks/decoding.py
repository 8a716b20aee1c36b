"""Decoding and preprocessing of image files against torchvision: images a second, for the same pixels.

    python -m benchmarks.decoding --root FOLDER [--images 1000] [--rounds 5]

One question: how many images a second does the ImageNet datamodule give in evaluation, from class folders and from
shards, against torchvision's ImageFolder with its transforms in a DataLoader of as many workers? FOLDER holds one
folder per class. All ways decode the same files in the same order and batch size, up to float32 batches in [0, 1] in
this process, and must give the same pixels; else nothing is timed. They take turns; the figures are medians. Ours come
in the channels_last format that the networks take, the peer's in the format that it gives.
"""

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

from benchmarks.turns import machine, per_second, show, take_turns
from datamodules import ImageNet, ImageNetShards
from datamodules.decoding_loader import DecodingLoader
from datamodules.webdataset import pack

BATCH = 64
SIZES = (224, 299)
WORKERS = (0, 2)


def folders(root: str, size: int, workers: int, count: int) -> tuple[DecodingLoader, tuple[Tensor, ...]]:
    """Return our loader of class folders and its batches: the first images in the sorted order of the files."""
    data = ImageNet(root, size=size, eval_batch_size=BATCH, num_workers=workers)
    loader = data.loader("test", training=False)
    # Places in the split of the first files, so that all ways read them in one order.
    return loader, data.split_indices("test").argsort()[:count].split(BATCH)


def shards(pattern: list[str], size: int, workers: int, order: dict[int, int], count: int) -> Any:
    """Return our loader of shards and the same batches; ``order`` has the place of each file among the samples."""
    data = ImageNetShards(test=pattern, size=size, eval_batch_size=BATCH, num_workers=workers)
    loader = data.loader("test", training=False)
    return loader, torch.tensor([order[place] for place in range(count)]).split(BATCH)


def torchvisions(root: str, size: int, workers: int, count: int) -> DataLoader[Any]:
    """Return torchvision's way to the same batches, as its references do it."""
    transform = Compose([Resize(round(size * 8 / 7)), CenterCrop(size), ToTensor()])
    files = Subset(ImageFolder(root, transform), range(count))
    return DataLoader(files, batch_size=BATCH, num_workers=workers)


def exhaust(batches: Iterable[Any]) -> None:
    """Take all batches, and let each go before the next."""
    for _ in batches:
        pass


def main() -> None:
    """Run the benchmark and print its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder with one folder of images per class")
    parser.add_argument("--images", type=int, default=1000, help="how many of them, at most")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every way")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source = ImageNet(arguments.root)
    count = min(arguments.images, len(source.files("test").labels))
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        packed = pack(source, Path(folder) / "shards")
        pattern = [str(path) for path in packed]
        keys = ImageNetShards(test=pattern).files("test").keys
        order = {int(bytes(key)): place for place, key in enumerate(keys)}
        for size in SIZES:
            for workers in WORKERS:
                ours = {
                    "advscope, folders": folders(arguments.root, size, workers, count),
                    "advscope, shards": shards(pattern, size, workers, order, count),
                }
                peer = torchvisions(arguments.root, size, workers, count)
                require_same_pixels(ours, peer)
                ways: dict[str, Any] = {
                    name: lambda loader=loader, places=places: exhaust(loader.fetch(places, 0))
                    for name, (loader, places) in ours.items()
                }
                ways["torchvision"] = lambda peer=peer: exhaust(peer)
                speeds = per_second(take_turns(ways, arguments.rounds), count)
                peers = speeds["torchvision"]["median"]
                figures[f"{size} px, {workers} workers"] = {
                    "images_per_second": speeds,
                    "ratio": {name: round(speeds[name]["median"] / peers, 2) for name in ours},
                }
    show({"machine": machine(), "images": count, "batch": BATCH, "rounds": arguments.rounds, "cases": figures})


def require_same_pixels(ours: dict[str, Any], peer: Iterable[Any]) -> None:
    """End the benchmark if a way gives another pixel or label than torchvision."""
    for name, (loader, places) in ours.items():
        for mine, (images, labels) in zip(loader.fetch(places, 0), peer, strict=True):
            if not torch.equal(mine.images, images) or not torch.equal(mine.labels, labels):
                raise SystemExit(f"{name} gives other pixels or labels than torchvision: nothing is timed")


if __name__ == "__main__":
    main()
