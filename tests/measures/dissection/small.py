"""A small network and annotated images, with which several tests dissect."""

import torch
from torch import Tensor, nn

from advscope.attacks import PGD
from advscope.batch import Batch
from advscope.concepts import Concept
from advscope.measures import Dissection

CONCEPTS = (
    Concept(3, "red-c", "color"),
    Concept(5, "sky", "object"),
    Concept(6, "tree", "object"),
    Concept(9, "wheel", "part"),
    Concept(12, "street-s", "scene"),
    Concept(20, "never", "material"),
)


class Small(nn.Module):
    """Two layers of maps (ReLU6 and ReLU, some units dead or saturated) and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.act1 = nn.ReLU6()
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.act2 = nn.ReLU()
        self.head = nn.Linear(8, 4)
        generator = torch.Generator().manual_seed(5)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.7
        self.conv1.bias.data[0] = -50.0  # dead
        self.conv1.bias.data[1] = 50.0  # always 6
        self.conv2.weight.data[:, 1] *= 0.02  # which must not decide the prediction

    def forward(self, images: Tensor) -> Tensor:
        features = self.act2(self.conv2(self.act1(self.conv1(images))))
        return self.head(features.mean((2, 3)))


LAYERS = ("act1", "act2")


def annotated(count: int = 23) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, 8, 8, generator=generator)
    concepts = torch.zeros(count, 3, 4, 4, dtype=torch.int16)
    for layer, numbers in enumerate(([0, 3], [0, 5, 6], [0, 9, 5])):
        drawn = torch.tensor(numbers)[torch.randint(len(numbers), (count, 4, 4), generator=generator)]
        concepts[:, layer] = drawn.short()
    concepts[::5] = 0
    whole = torch.tensor([0, 12, 6])[torch.randint(3, (count, 2), generator=generator)].short()
    labels = torch.where(torch.arange(count) % 3 > 0, -1, torch.randint(4, (count,), generator=generator))
    return Batch(images, labels, torch.arange(count) + 100, concepts, whole)


def split(batch: Batch, sizes: list[int], order: Tensor | None = None) -> list[Batch]:
    rows = torch.arange(len(batch.images)) if order is None else order
    return [batch.part(part) for part in rows.split(sizes)]


def attack() -> PGD:
    return PGD(eps=0.5, step_size=0.2, steps=5)


def equal(one: Dissection, other: Dissection) -> bool:
    for layer in one:
        for name, field in one[layer]._asdict().items():
            if isinstance(field, Tensor) and not torch.equal(
                field.nan_to_num(-1), getattr(other[layer], name).nan_to_num(-1)
            ):
                return False
    rows = [[tuple(row.values()) for row in [*each.rows(), *each.significance]] for each in (one, other)]
    figures = [{layer: dict(found.figures) for layer, found in each.items()} for each in (one, other)]
    return repr(rows[0]) == repr(rows[1]) and repr(figures[0]) == repr(figures[1])


def balanced(network: nn.Module | None = None) -> nn.Module:
    """Return a network, the small one by default, with a last layer that makes it predict several classes."""
    network = (network or Small()).eval()
    last = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)][-1]
    with torch.no_grad():
        last.bias -= network(annotated(60).images).mean(0)
    return network
