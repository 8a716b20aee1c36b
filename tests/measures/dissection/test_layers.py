"""Which layers are dissected: those that are named, or all that give maps; what cannot be is refused in one line."""

import pytest
import torch
from torch import Tensor, nn

from advscope.frozen import MicroBatched
from advscope.measures import DissectionSettings, dissect
from advscope.measures.dissection.map_layers import map_layers
from tests.measures.dissection.small import CONCEPTS, Small, annotated, attack, equal, split

SETTINGS = DissectionSettings(0.2, draws=10)


class Twice(nn.Module):
    """A convolution that runs twice in a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return self.conv(self.conv(maps))


class Pair(nn.Module):
    """A layer that returns a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        return self.conv(maps), maps


class Windows(nn.Module):
    """A layer that runs on four windows of each image, as one batch."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Conv2d(6, 6, 1)

    def forward(self, maps: Tensor) -> Tensor:
        count = len(maps)
        windows = self.inside(torch.cat([maps[..., :4, :4], maps[..., :4, 4:], maps[..., 4:, :4], maps[..., 4:, 4:]]))
        return windows.view(4, count, 6, 4, 4).mean(0)


class Tokens(nn.Module):
    """A layer that makes tokens of maps."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(6, 6)

    def forward(self, maps: Tensor) -> Tensor:
        return self.mix(maps.flatten(2).transpose(1, 2))


class Odd(nn.Module):
    """A network of layers of every kind."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Sequential(nn.Conv2d(6, 6, 1), nn.ReLU()))
        self.twice = Twice()
        self.pair = Pair()
        self.windows = Windows()
        self.tokens = Tokens()
        self.head = nn.Linear(6, 4)
        self.never = nn.Conv2d(1, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.tokens(self.windows(self.pair(self.twice(self.stem(images)))[0])).mean(1))


@pytest.mark.parametrize("size", [None, 5, 40])
def test_of_all_blocks_those_that_give_maps_are_dissected(size: int | None) -> None:
    network: nn.Module = Odd().eval()
    network = network if size is None else MicroBatched(network, size)
    found = dissect(network, split(annotated(), [12, 11]), concepts=CONCEPTS, attack=attack(), settings=SETTINGS)
    # Left out: the pair, tokens, the linear head, and what never runs.
    assert list(found) == ["stem.0", "stem.1.0", "twice", "windows"]
    assert not any(module._forward_hooks for module in network.modules())
    named = dissect(network, [annotated()], list(found), concepts=CONCEPTS, attack=attack(), settings=SETTINGS)
    if size is not None:
        assert equal(found, named)


def test_a_nested_name_is_that_layer() -> None:
    network = MicroBatched(Odd().eval(), 4)
    found = dissect(network, [annotated()], ["stem.1.0", "stem.1"], concepts=CONCEPTS, settings=SETTINGS)
    kept = []
    handle = network.network.stem[1][0].register_forward_hook(lambda _, __, out: kept.append(out))
    with torch.no_grad():
        network(annotated().images)
    handle.remove()
    assert torch.equal(found["stem.1.0"].maxima, torch.cat(kept)[:23].amax((0, 2, 3)))
    assert torch.equal(found["stem.1"].maxima, found["stem.1.0"].maxima.relu())


@pytest.mark.parametrize("size", [None, 5])
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("head", r"layer 'head' returns \(\d+, 4\), no maps \(N, K, h, w\): name convolutional layers"),
        ("tokens", r"layer 'tokens' returns \(\d+, 16, 6\), no maps \(N, K, h, w\): name convolutional layers"),
        ("pair", "layer 'pair' returns a tuple, not a tensor; name another layer"),
        ("twice.conv", r"layer 'twice.conv' ran 2 times in one pass; name one that runs once"),
        ("never", "layer 'never' ran 0 times in one pass; name one that runs once"),
        ("windows.inside", r"layer 'windows.inside' returns \(\d+, 6, 4, 4\) for \d+ images; name one whose first"),
        ("steem.1", r"Odd has no layer 'steem.1'; the nearest names are .*stem.1"),
        ("layer1.conv", r"Odd has no layer 'layer1.conv'; the nearest names are "),
    ],
)
def test_a_layer_without_maps_is_refused_in_one_line_in_the_first_pass(
    layer: str, message: str, size: int | None
) -> None:
    network: nn.Module = Odd().eval()
    network = network if size is None else MicroBatched(network, size)
    runs: list[int] = []
    network.register_forward_hook(lambda *_: runs.append(1))
    with pytest.raises(ValueError, match=message) as error:
        dissect(network, split(annotated(), [12, 11]), ["stem.0", layer], concepts=CONCEPTS, settings=SETTINGS)
    assert len(str(error.value).splitlines()) == 1
    assert len(runs) <= 1
    assert not any(module._forward_hooks for module in network.modules() if module is not network)


def test_a_network_without_maps_is_refused() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    with pytest.raises(ValueError, match=r"^no block of the network gives maps \(N, K, h, w\): name layers that do$"):
        dissect(flat, [annotated()], concepts=CONCEPTS, settings=SETTINGS)
    with pytest.raises(ValueError, match=r"^ReLU has no blocks to dissect, or layers is empty: name layers$"):
        dissect(nn.ReLU(), [annotated()], concepts=CONCEPTS, settings=SETTINGS)


def test_map_layers_are_found_by_one_pass_that_leaves_no_trace() -> None:
    network, names = Odd().eval(), ["stem.0", "pair", "twice.conv", "windows.inside", "windows", "head", "never"]
    assert map_layers(network, torch.rand(3, 3, 8, 8), names) == ["stem.0", "windows"]
    assert map_layers(MicroBatched(network, 2), torch.rand(3, 3, 8, 8), names) == ["stem.0", "windows"]
    assert not any(module._forward_hooks for module in network.modules())


class Bare(nn.Module):
    """A network without parameters: its unit is the mean of the colours."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        maps = self.maps(torch.stack([images.mean(1), images[:, 0]], 1))
        return torch.cat([maps.mean((2, 3)), images.amax((2, 3))[:, :2]], 1)


def test_a_network_without_parameters() -> None:
    batch = annotated()
    found = dissect(Bare(), split(batch, [9, 14]), ["maps"], concepts=CONCEPTS, attack=attack(), settings=SETTINGS)
    values = batch.images[:, 0].flatten().sort(descending=True).values
    assert float(found["maps"].threshold[1]) == float(values[int(0.2 * 23 * 64)])
    assert found["maps"].counts["attacked"] > 0


def test_a_network_in_float64_gives_the_masks_of_its_maps_in_float32() -> None:
    batch = annotated()
    batch = batch._replace(images=batch.images.double())
    network = Small().double().eval()
    found = dissect(network, split(batch, [9, 14]), ["act2"], concepts=CONCEPTS, attack=attack(), settings=SETTINGS)
    kept = []
    network.act2.register_forward_hook(lambda _, __, out: kept.append(out))
    with torch.no_grad():
        network(batch.images)
    assert kept[0].dtype == torch.float64
    maps = kept[0].float()
    ordered = maps.transpose(0, 1).flatten(1).sort(descending=True).values
    assert torch.equal(found["act2"].threshold, ordered[:, int(0.2 * ordered.shape[1])])
    # The maps are as large as the annotation: no rounding lies between.
    assert found["act2"].areas.tolist() == (maps > found["act2"].threshold[:, None, None]).sum((0, 2, 3)).tolist()
