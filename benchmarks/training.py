"""Madry training of ResNet-20 with PGD-7: advscope against plain Lightning with torchattacks and torchvision.

    python -m benchmarks.training [--seeds 3] [--train-images 20000] [--out docs/benchmark_training.json]

One question: how many images a second, and at what robust accuracy? Both sides train the same network for the same
steps under the same schedule, weight decay, augmentation and warm-up of eps. The peer is what people write today: a
plain LightningModule, ``torchattacks.PGD``, and torchvision transforms on PIL images in a DataLoader (its best over 0,
1 and 2 workers). Images a second leave the first steps of each run out, and the sides take turns, so that a drift of
the machine's speed meets both. Robust accuracy is PGD-20 at 8/255 on the same test images, by advscope's own
evaluation for both; differences are paired over images, with a 95% interval over all images and seeds.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning
import torch
import torchattacks
from PIL import Image
from pytorch_lightning import Callback, LightningModule
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, RandomCrop, RandomHorizontalFlip, ToTensor

from advscope.attacks import PGD
from advscope.batch import Batch
from advscope.frozen import MicroBatched
from advscope.intervals import Estimate, mean
from advscope.networks import CIFARResNet
from advscope.precision import has_bfloat16_instructions
from cli import quieten
from datamodules import ConceptShapes, CropFlip
from lightning_modules import MadryClassifier, OneCycle

EPS, STEP_SIZE, STEPS = 8 / 255, 2 / 255, 7
BATCH = 128
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4
WARMUP = 0.3
"""Share of the training over which eps rises, for both sides."""
SKIPPED = 4
"""Steps at the start of a run that are not timed."""


class PeerImages(Dataset[tuple[Tensor, int]]):
    """PIL images under torchvision's usual transforms."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
        self.labels = labels.tolist()
        self.transform = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), ToTensor()])

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        """Return an augmented image and its label."""
        return self.transform(self.images[place]), self.labels[place]


class PeerClassifier(LightningModule):
    """Adversarial training as it is commonly written on torchattacks."""

    def __init__(self, network: torch.nn.Module, total_steps: int) -> None:
        super().__init__()
        self.network = network
        self.total_steps = total_steps

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the cross-entropy on the images that torchattacks returns."""
        images, labels = batch
        factor = min(1.0, (self.global_step + 1) / (WARMUP * self.total_steps))
        attack = torchattacks.PGD(self.network, eps=EPS * factor, alpha=STEP_SIZE * factor, steps=STEPS)
        return cross_entropy(self.network(attack(images, labels)), labels)

    def configure_optimizers(self) -> Any:
        """Return SGD under the same schedule as advscope's side."""
        optimizer = torch.optim.SGD(self.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        factor = OneCycle(0.4).factor
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(min(1.0, step / self.total_steps)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class Clock(Callback):
    """Counts images and seconds of the training steps after the first few."""

    def __init__(self) -> None:
        self.start = self.end = 0.0
        self.steps = 0

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the time; waiting for the next batch counts."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.steps += 1
        if self.steps == SKIPPED:
            self.start = time.perf_counter()
        self.end = time.perf_counter()

    @property
    def images_per_second(self) -> float:
        """Images a second after the skipped steps."""
        return BATCH * (self.steps - SKIPPED) / (self.end - self.start)


def trainer(precision: str, steps: int, clock: Clock) -> pytorch_lightning.Trainer:
    """Return a trainer that trains and nothing else, the same for both sides."""
    return pytorch_lightning.Trainer(
        max_steps=steps, max_epochs=-1, precision=precision, logger=False, enable_checkpointing=False,
        callbacks=[clock], enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        limit_val_batches=0,
    )  # fmt: skip


def train_ours(data: ConceptShapes, precision: str, steps: int, seed: int) -> tuple[torch.nn.Module, float]:
    """Train by advscope; return the network and images a second."""
    pytorch_lightning.seed_everything(seed)
    epoch = len(data.split("train").labels) // BATCH
    module = MadryClassifier(
        attack=PGD(EPS, STEP_SIZE, STEPS),
        eps_warmup_epochs=WARMUP * steps / epoch,
        network=CIFARResNet(depth=20),
        optimizer=lambda parameters: torch.optim.SGD(
            parameters, lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        ),
        schedule=OneCycle(0.4),
    )
    clock = Clock()
    trainer(precision, steps, clock).fit(module, data)
    return module.network, clock.images_per_second


def train_peer(data: ConceptShapes, workers: int, steps: int, seed: int) -> tuple[torch.nn.Module, float]:
    """Train by plain Lightning and torchattacks in float32; return the network and images a second."""
    pytorch_lightning.seed_everything(seed)
    split = data.split("train")
    loader = DataLoader(
        PeerImages(split.images, split.labels), BATCH, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0,
    )  # fmt: skip
    module = PeerClassifier(CIFARResNet(depth=20), steps)
    clock = Clock()
    trainer("32-true", steps, clock).fit(module, loader)
    return module.network, clock.images_per_second


@torch.no_grad()
def withstands(network: torch.nn.Module, batches: list[Batch]) -> Tensor:
    """Return for each test image whether PGD-20 leaves its prediction at its label."""
    network = network.eval().to(memory_format=torch.channels_last)
    still = MicroBatched(network, 64)
    attack = PGD(EPS, STEP_SIZE, 20)
    results = []
    for batch in batches:
        adversarials = attack(still, batch.images, batch.labels, indices=batch.indices)
        results.append(still(adversarials).argmax(1) == batch.labels)
    return torch.cat(results)


def paired(ours: list[Tensor], peers: list[Tensor]) -> Estimate:
    """Return the mean difference, ours minus the peer's, over images and seeds with its 95% interval.

    The interval is over the seeds' mean differences widened to the one over images where that is wider.
    """
    differences = [(one.double() - other.double()) for one, other in zip(ours, peers, strict=True)]
    images = torch.stack(differences).mean(0)
    over_images = mean(float(images.sum()), float((images**2).sum()), len(images))
    seeds = torch.stack([difference.mean() for difference in differences])
    if len(seeds) < 2:
        return over_images
    # Student's t for two degrees of freedom and up: few seeds, so the normal quantile would be too narrow.
    quantile = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}.get(len(seeds), 2.571)
    half = max(quantile * float(seeds.std()) / len(seeds) ** 0.5, over_images.high - over_images.value)
    return Estimate(over_images.value, over_images.value - half, over_images.value + half, len(images) * len(seeds))


def main() -> None:
    """Run the benchmark and print its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="trainings per side for robust accuracy")
    parser.add_argument("--train-images", type=int, default=20_000, help="images trained on, in all")
    parser.add_argument("--timed-steps", type=int, default=20, help="steps of a throughput run after the first few")
    parser.add_argument("--rounds", type=int, default=3, help="turns of the throughput runs")
    parser.add_argument("--out", type=Path, help="write the figures as JSON, too")
    arguments = parser.parse_args()
    quieten()

    with tempfile.TemporaryDirectory() as folder:
        data = ConceptShapes(
            root=folder, train=10_000, val=100, test=2_000, batch_size=BATCH, augmentation=CropFlip(padding=4)
        )
        data.setup("fit")
        data.setup("test")
        short = SKIPPED + arguments.timed_steps
        precisions = ["32-true"] + (["bf16-mixed"] if has_bfloat16_instructions() or torch.cuda.is_available() else [])
        speeds: dict[str, list[float]] = {}
        for turn in range(arguments.rounds):
            for workers in (0, 1, 2):
                speeds.setdefault(f"peer, {workers} workers", []).append(train_peer(data, workers, short, turn)[1])
            for precision in precisions:
                speeds.setdefault(f"advscope, {precision}", []).append(train_ours(data, precision, short, turn)[1])
            print({name: round(values[-1], 1) for name, values in speeds.items()}, flush=True)
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        peer_name = max((name for name in medians if name.startswith("peer")), key=medians.__getitem__)
        ratios = {name: value / medians[peer_name] for name, value in medians.items() if name.startswith("advscope")}

        batches = list(data.test_dataloader())
        steps = arguments.train_images // BATCH
        robust: dict[str, list[Tensor]] = {"peer": [], **{precision: [] for precision in precisions}}
        for seed in range(arguments.seeds):
            robust["peer"].append(withstands(train_peer(data, int(peer_name.split()[1]), steps, seed)[0], batches))
            for precision in precisions:
                robust[precision].append(withstands(train_ours(data, precision, steps, seed)[0], batches))
            print({name: round(float(values[-1].double().mean()), 4) for name, values in robust.items()}, flush=True)

    record = {
        "machine": {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads(),
                    "bf16": has_bfloat16_instructions(), "cuda": torch.cuda.is_available(), "torch": torch.__version__},
        "images_per_second": {name: [round(value, 1) for value in values] for name, values in speeds.items()},
        "ratio_to_best_peer": {name: round(value, 2) for name, value in ratios.items()},
        "best_peer": peer_name,
        "robust_accuracy": {
            name: [round(float(values.double().mean()), 4) for values in runs] for name, runs in robust.items()
        },
        "difference_to_peer": {
            precision: paired(robust[precision], robust["peer"])._asdict() for precision in precisions if robust["peer"]
        },
        "n": {"test_images": 2000, "seeds": arguments.seeds, "train_images": steps * BATCH},
    }  # fmt: skip
    if not has_bfloat16_instructions() and not torch.cuda.is_available():
        print("This machine has no bfloat16 instructions: bf16 is not measured.")
    text = json.dumps(record, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
