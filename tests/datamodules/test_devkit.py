"""Tests of the development kit, on a miniature in the real format; torchvision reads the same one."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision.datasets import imagenet

from datamodules.devkit import read_devkit


def test_it_is_read_as_torchvision_reads_it(write_devkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = write_devkit(tmp_path / "ILSVRC2012_devkit_t12", "3\n1\n1\n2\n")
    with tarfile.open(tmp_path / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        archive.add(kit, arcname=kit.name)
    monkeypatch.setattr(imagenet, "_verify_archive", lambda *_: None)
    imagenet.parse_devkit_archive(tmp_path)
    names, validation = torch.load(tmp_path / "meta.bin", weights_only=True)

    devkit = read_devkit(kit)

    assert devkit.validation == tuple(validation) == ("n01440764", "n02119789", "n02119789", "n02100735")
    assert devkit.classes.folders == tuple(sorted(names)) == ("n01440764", "n02100735", "n02119789")
    assert devkit.classes.names == tuple(names[synset][0] for synset in devkit.classes.folders)


def test_what_is_missing_or_wrong_is_one_line(write_devkit, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"meta.mat is missing: labels must be a text file, or the devkit"):
        read_devkit(tmp_path)
    for name, truth in (("parent", "1\n4\n"), ("range", "1\n0\n"), ("text", "1\nn01440764\n")):
        kit = write_devkit(tmp_path / name, truth)
        with pytest.raises(ValueError, match=r"ground_truth.txt, line 2: '\w+' is no ILSVRC2012_ID .*\(1 ... 3\)"):
            read_devkit(kit)
    (kit / "data" / "meta.mat").write_bytes(b"not MATLAB" * 30)
    with pytest.raises(ValueError, match=r"is no meta.mat of ILSVRC2012 .*: unpack the devkit anew") as raised:
        read_devkit(kit)
    assert "\n" not in str(raised.value)
    savemat(kit / "data" / "meta.mat", {"other": np.zeros(2)})
    with pytest.raises(ValueError, match=r"is no meta.mat of ILSVRC2012"):
        read_devkit(kit)
