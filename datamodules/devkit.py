"""The development kit of ILSVRC2012: its synsets, and the classes of the validation images."""

from pathlib import Path
from typing import NamedTuple

from datamodules.class_folders import Classes


class Devkit(NamedTuple):
    """What the development kit says."""

    classes: Classes
    """The synsets with images of their own, sorted: the official order of the 1,000 classes; names as WordNet's."""
    validation: tuple[str, ...]
    """Synset of each validation image, in the sorted order of their files."""


def read_devkit(folder: Path) -> Devkit:
    """Read ``data/meta.mat`` and ``data/ILSVRC2012_validation_ground_truth.txt`` under a folder.

    The ground truth numbers synsets by ILSVRC2012_ID, from 1, in an order of its own; ``meta.mat`` maps it to WordNet's
    ids. Synsets with children (ids above 1,000) have no images.

    Raises:
        FileNotFoundError: If one of the two files is missing.
        ModuleNotFoundError: If scipy, which reads ``meta.mat``, is missing; the message gives the command.
        ValueError: If one of them is of another form.
    """
    meta, truth = (folder / "data" / name for name in ("meta.mat", "ILSVRC2012_validation_ground_truth.txt"))
    for path in (meta, truth):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: labels must be a text file, or the devkit's unpacked folder")
    try:
        from scipy.io import loadmat
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f'{meta} needs scipy to be read: pip install "advscope[imagenet]"') from None
    try:
        synsets = loadmat(str(meta), squeeze_me=True)["synsets"]
        rows = [
            (int(row["ILSVRC2012_ID"]), str(row["WNID"]), str(row["words"]))
            for row in synsets
            if int(row["num_children"]) == 0
        ]
    except (ValueError, KeyError, TypeError, IndexError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{meta} is no meta.mat of ILSVRC2012 ({reason}): unpack the devkit anew") from error
    by_id = {number: synset for number, synset, _ in rows}
    words = {synset: name.split(",")[0].strip() for _, synset, name in rows}
    validation = []
    for row, line in enumerate(truth.read_text(encoding="utf-8").split(), 1):
        if not line.isdecimal() or int(line) not in by_id:
            raise ValueError(f"{truth}, line {row}: {line!r} is no ILSVRC2012_ID of meta.mat (1 ... {len(by_id)})")
        validation.append(by_id[int(line)])
    folders = tuple(sorted(words))
    return Devkit(Classes(folders, tuple(words[folder] for folder in folders)), tuple(validation))
