"""What an evaluation in Python, with datamodules and trainers of one's own, records and refuses."""

import json

import pytest
import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from advscope.attacks import PGD
from advscope.batch import Batch
from advscope.networks import CIFARResNet
from callbacks import EvaluationRecord, PerturbationSizeMonitor
from datamodules import InMemoryDataModule
from datamodules.in_memory import Split
from lightning_modules import NaturalClassifier


class Noise(InMemoryDataModule):
    """Random images of three classes that a network cannot err on: their labels are its predictions."""

    class_names = ("a", "b", "c")

    def __init__(self, network: nn.Module) -> None:
        super().__init__(eval_batch_size=4)
        generator = torch.Generator().manual_seed(1)
        self.images = torch.randint(256, (18, 3, 8, 8), dtype=torch.uint8, generator=generator)
        with torch.no_grad():
            self.labels = network(self.images / 255).argmax(1)

    def load(self, split: str) -> Split:
        # Places that neither begin at 0 nor ascend, as of a subset in an order of its own.
        return Split(self.images, self.labels, torch.arange(100, 118).flip(0))


class Foreign(LightningDataModule):
    """A datamodule that knows nothing of an evaluation, as one had it before."""

    class_names = ("a", "b", "c")
    looked = 0

    def split_indices(self, name: str) -> torch.Tensor:
        return torch.arange(4)

    def checksum(self, name: str) -> str:
        return "0" * 64

    def test_dataloader(self) -> DataLoader:
        images = torch.rand(4, 3, 8, 8)
        self.looked += 1
        return DataLoader([Batch(images, torch.zeros(4, dtype=torch.int64), torch.arange(4))], batch_size=None)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    network = CIFARResNet(depth=8, width=4, num_classes=3)
    # Logits of random weights are all alike: with these, images are of several classes.
    network.linear.weight.data *= 50
    with torch.no_grad():
        network.train()(torch.rand(64, 3, 8, 8))
    return network.eval()


def record(folder, **settings) -> EvaluationRecord:
    return EvaluationRecord(folder / "results" / "e", "run", "e", "last.ckpt", {}, **settings)


def quiet(*callbacks) -> Trainer:
    return Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False, callbacks=list(callbacks),
    )  # fmt: skip


def test_a_datamodule_that_cannot_say_what_is_tested_is_refused_before_the_first_batch(network, tmp_path):
    model, data = NaturalClassifier(network, {"pgd": PGD(steps=1)}), Foreign()
    with pytest.raises(ValueError, match=r"Foreign without tested_batches, source, broken: derive yours from") as error:
        quiet(record(tmp_path)).test(model, data, verbose=False)
    assert "\n" not in str(error.value)
    assert data.looked == 0
    assert not (tmp_path / "results").exists()


def test_an_evaluation_without_a_datamodule_is_refused(network, tmp_path):
    model, loader = NaturalClassifier(network, {"pgd": PGD(steps=1)}), Foreign().test_dataloader()
    with pytest.raises(ValueError, match="got no datamodule: derive"):
        quiet(record(tmp_path)).test(model, loader, verbose=False)


def test_a_second_test_counts_its_own_passes_alone(network, tmp_path):
    model, data, passes = NaturalClassifier(network, {"pgd": PGD(steps=2)}), Noise(network), []
    for name in ("first", "second"):
        quiet(record(tmp_path / name)).test(model, data, verbose=False)
        passes.append(json.loads((tmp_path / name / "results" / "e" / "summary.json").read_text())["passes"])
    # Of each image: one prediction, two steps, one prediction of what the attack returned.
    assert passes == [{"forwards": 4 * 18, "backwards": 2 * 18}] * 2


def test_a_monitors_first_images_are_those_of_the_class_that_is_tested(network, tmp_path):
    model, data = NaturalClassifier(network, {"pgd": PGD(eps=0.5, step_size=0.2, steps=3)}), Noise(network)
    assert len(data.labels.unique()) > 1
    data.source = int(data.labels[5:].bincount(minlength=3).argmax())
    monitor = PerturbationSizeMonitor(max_images=2)
    quiet(monitor, record(tmp_path)).test(model, data, verbose=False)
    summary = json.loads((tmp_path / "results" / "e" / "summary.json").read_text())
    assert summary["data"]["n"] == int((data.labels == data.source).sum()) > 2
    # Each image of the class is attacked; two of them are measured.
    assert summary["counts"]["pgd"]["attacked"] > 2
    assert summary["figures"]["test/pgd/size/l2"]["n"] == 2
