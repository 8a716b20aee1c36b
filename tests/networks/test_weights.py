"""Tests of loading weights."""

import hashlib
import os
import pickle
from pathlib import Path

import numpy
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from advscope.networks import CIFARResNet, Library, MadryResNet, Normalize, load_weights

IMAGENET = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def small(**given: object) -> CIFARResNet:
    return CIFARResNet(depth=8, width=4, **given)


def same(left: nn.Module, right: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left.state_dict().values(), right.state_dict().values(), strict=True))


def prefixed(network: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "network.", "module.model.", "model.network.module."])
@pytest.mark.parametrize("container", [None, "state_dict", "model", "network", "net"])
def test_prefixes_and_containers_do_not_matter(tmp_path: Path, prefix: str, container: str | None) -> None:
    source, target = small(), small()
    state = prefixed(source, prefix)
    torch.save(state if container is None else {"epoch": 3, container: state}, tmp_path / "weights.pth")
    assert not same(source, target)

    checksum = load_weights(target, tmp_path / "weights.pth")

    assert same(source, target)
    assert checksum == hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()


def test_containers_in_containers(tmp_path: Path) -> None:
    source, target = small(), small()
    torch.save({"model": {"epoch": 1, "state_dict": source.state_dict()}}, tmp_path / "weights.pth")

    load_weights(target, str(tmp_path / "weights.pth"))

    assert same(source, target)


def test_a_network_inside_another_takes_the_bare_weights_too(tmp_path: Path) -> None:
    source, target = Library("torchvision/squeezenet1_1"), Library("torchvision/squeezenet1_1")
    for state in (source.state_dict(), source.network.state_dict(), prefixed(source, "network.")):
        torch.save(state, tmp_path / "weights.pth")
        nn.init.zeros_(target.network.classifier[1].weight)

        load_weights(target, tmp_path / "weights.pth")

        assert same(source, target)


class Classifier(LightningModule):
    """Holds its network under a name, as Lightning modules do."""

    def __init__(self) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = small()


def test_a_checkpoint_of_lightning(tmp_path: Path) -> None:
    module = Classifier()
    trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "last.ckpt", weights_only=False)
    target = small()

    load_weights(target, tmp_path / "last.ckpt")

    assert same(module.network, target)


def test_old_checkpoints_without_counters_of_batches_load(tmp_path: Path) -> None:
    source, target = small(), small()
    state = {name: tensor for name, tensor in source.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "weights.pth")

    load_weights(target, tmp_path / "weights.pth")

    assert same(source, target)


def test_a_mismatch_names_everything_and_changes_nothing(tmp_path: Path) -> None:
    source, target = small(), small()
    state = source.state_dict()
    del state["bn1.weight"]
    state["extra.bias"] = torch.zeros(1)
    state["linear.weight"] = torch.zeros(5, 16)
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "weights.pth")
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}

    with pytest.raises(ValueError, match="does not fit CIFARResNet") as caught:
        load_weights(target, tmp_path / "weights.pth")

    message = str(caught.value)
    assert "missing bn1.weight;" in message
    assert "unexpected module.extra.bias;" in message
    assert "of another shape linear.weight (5, 16) instead of (10, 16)" in message
    assert "\n" not in message
    assert all(torch.equal(before[name], tensor) for name, tensor in target.state_dict().items())


def test_long_lists_are_cut(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pth")
    # 8 convolution and linear layers with 9 weights, 7 BatchNorms of weight, bias, mean and variance: 36 missing.
    names = [name for name in small().state_dict() if "num_batches" not in name]

    with pytest.raises(ValueError, match=f"and {len(names) - 5} more"):
        load_weights(small(), tmp_path / "weights.pth")


def test_the_normalisation_is_a_setting_but_must_agree_where_the_file_has_it(tmp_path: Path) -> None:
    source, target = small(normalize=IMAGENET), small(normalize=IMAGENET)
    state = {"normalize.mean": IMAGENET.mean.flatten(), "normalize.std": IMAGENET.std, **source.state_dict()}
    torch.save(state, tmp_path / "weights.pth")

    load_weights(target, tmp_path / "weights.pth")

    assert same(source, target)
    with pytest.raises(ValueError, match=r"normalised otherwise normalize.mean \[0.485, .* instead of \[0.4914, "):
        load_weights(small(), tmp_path / "weights.pth")


def test_names_that_differ_in_a_prefix_alone_are_refused(tmp_path: Path) -> None:
    state = small().state_dict()
    torch.save({**state, "module.conv1.weight": state["conv1.weight"]}, tmp_path / "weights.pth")

    with pytest.raises(ValueError, match=r"has both 'conv1.weight' and 'module.conv1.weight'"):
        load_weights(small(), tmp_path / "weights.pth")


class Harmful:
    """Would create a file when unpickled."""

    def __init__(self, path: Path, through_shell: bool) -> None:
        self.path = path
        self.through_shell = through_shell

    def __reduce__(self) -> tuple[object, ...]:
        """Tell pickle to call what must not be called."""
        return (os.system, (f"touch {self.path}",)) if self.through_shell else (Path.touch, (self.path,))


@pytest.mark.parametrize("through_shell", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_would_run_code_is_refused_and_does_not_run_it(
    tmp_path: Path, old: bool, through_shell: bool
) -> None:
    state = {**small().state_dict(), "harm": Harmful(tmp_path / "harm", through_shell)}
    torch.save(state, tmp_path / "weights.pth", _use_new_zipfile_serialization=not old)

    with pytest.raises(ValueError, match="holds objects other than tensors") as caught:
        load_weights(small(), tmp_path / "weights.pth")

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "content", [b"", b"hello, world\n", pickle.dumps([1, 2]), b"PK\x03\x04broken", b"\x80\x02junk"]
)
def test_a_file_that_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pth").write_bytes(content)

    with pytest.raises(ValueError, match=r"weights.pth (is no checkpoint|holds no state dict)") as caught:
        load_weights(small(), tmp_path / "weights.pth")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_without_weights_says_where_they_are_looked_for(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "optimizer": {}}, tmp_path / "weights.pth")

    with pytest.raises(
        ValueError, match=r"no state dict among epoch, optimizer: .* under state_dict, model, network, net"
    ):
        load_weights(small(), tmp_path / "weights.pth")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no weights file .*nowhere.pth"):
        load_weights(small(), tmp_path / "nowhere.pth")
    with pytest.raises(FileNotFoundError, match="there is no weights file"):
        load_weights(small(), tmp_path)


def test_weights_of_another_network_are_refused(shared: Path) -> None:
    with pytest.raises(ValueError, match=r"does not fit MadryResNet: missing .*; unexpected module.bn1.weight"):
        load_weights(
            MadryResNet(widths=(16, 16, 32, 64), normalize=IMAGENET),
            shared / "models/cifar10_natural/resnet20-12fca82f.th",
        )


def test_published_resnet20_reaches_its_accuracy_on_real_images(shared: Path) -> None:
    network = CIFARResNet(20, normalize=IMAGENET)
    checksum = load_weights(network, shared / "models/cifar10_natural/resnet20-12fca82f.th")
    with numpy.load(shared / "cifar10/cifar10_lossless.npz", allow_pickle=False) as data:
        images, labels = torch.from_numpy(data["test_images"]), torch.from_numpy(data["test_labels"])
    images = images.permute(0, 3, 1, 2).float() / 255

    with torch.inference_mode():
        predictions = torch.cat([network.eval()(chunk).argmax(1) for chunk in images.split(239)])

    assert checksum.startswith("12fca82f")  # the file is named after its checksum
    assert len(images) == 1195
    assert 100 * (predictions == labels).double().mean() == pytest.approx(91.7, abs=0.5)


def test_published_resnet56_fits(shared: Path) -> None:
    load_weights(CIFARResNet(56, normalize=IMAGENET), shared / "models/cifar10_natural/resnet56-4bfd9763.th")
