"""Class folders written as shards of the WebDataset format."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from advscope.counter_hash import permutation
from datamodules.base import SplitName
from datamodules.imagenet import ImageNet
from datamodules.webdataset.imagenet_shards import CLASSES_FILE
from datamodules.webdataset.shard_index import IMAGES, shard_index

# Counters of the permutation in which images are written.
_ORDER = (0, 0x7A6)


def pack(
    data: ImageNet, folder: Path, per_shard: int = 1000, progress: Callable[[int], None] | None = None
) -> list[Path]:
    """Write the images of class folders as shards, bytes as they are; return the shards, each with its index.

    The training files become ``train-000000.tar`` and so on, the test files ``test-000000.tar``, all of them whatever
    the subset, in a fixed random order: any shard is a fair sample, also for readers that go through them in order.
    A sample is the image, ``cls`` (its class) and ``json`` (``{"file": its path}``). ``classes.txt`` keeps the classes.
    The same files give the same bytes. The folder appears when it is complete.

    Args:
        data: The class folders.
        folder: Where to write; must not exist, or be empty.
        per_shard: Samples in a shard.
        progress: Called with the number of images written so far.

    Raises:
        ValueError: If ``per_shard`` is not positive, or a file is neither a JPEG nor a PNG; names it.
        FileExistsError: If the folder is not empty.
        FileNotFoundError: If the class folders are missing.
    """
    if per_shard < 1:
        raise ValueError(f"per_shard must be at least 1, got {per_shard}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not empty: name a new folder")
    parts: tuple[SplitName, ...] = ("train", "test") if (data.root / "train").is_dir() else ("test",)
    for part in parts:
        _require_kinds(data, part)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    written = 0
    try:
        for part in parts:
            written = _write(data, part, partial, per_shard, written, progress)
        lines = (f"{synset} {name}\n" for synset, name in zip(*data.classes, strict=True))
        (partial / CLASSES_FILE).write_text("".join(lines), encoding="utf-8")
        for shard in partial.glob("*.tar"):
            shard_index(shard)
        os.chmod(partial, 0o755)
        os.replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return sorted(folder.glob("*.tar"))


def _write(
    data: ImageNet, part: SplitName, folder: Path, per_shard: int, written: int, progress: Callable[[int], None] | None
) -> int:
    from webdataset import TarWriter

    files = data.files(part)
    order = permutation(len(files.labels), *_ORDER)
    for number, places in enumerate(order.split(per_shard)):
        # One time and owner for all members: the same files give the same bytes.
        with TarWriter(str(folder / f"{part}-{number:06d}.tar"), user="", group="", mtime=0.0, encoder=False) as writer:
            for place in places.tolist():
                path = files.path(place)
                description = json.dumps({"file": os.fsdecode(files.key(place))})
                writer.write(
                    {
                        "__key__": f"{place:08d}",
                        _kind(path): Path(path).read_bytes(),
                        "cls": str(int(files.labels[place])).encode(),
                        "json": description.encode(),
                    }
                )
                written += 1
        if progress is not None:
            progress(written)
    return written


def _require_kinds(data: ImageNet, part: SplitName) -> None:
    files = data.files(part)
    for place in range(len(files.labels)):
        if _kind(files.path(place)) not in IMAGES:
            raise ValueError(f"{files.path(place)} is neither JPEG nor PNG by its name: convert it to PNG first")


def _kind(path: str) -> str:
    return os.path.splitext(path)[1][1:].lower()
