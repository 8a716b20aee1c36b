"""PSR's monitor: the forward that it uses, what it says of it, and its cells by default."""

import pytest
import torch
from torch import nn

from advscope.batch import AttackedBatch
from advscope.frozen import MicroBatched
from advscope.networks import CIFARResNet
from callbacks import PromotionSuppressionMonitor


def attacked(count=2, size=32):
    images, adversarials = torch.rand(2, count, 3, size, size, generator=torch.Generator().manual_seed(0))
    everyone = torch.ones(count, dtype=torch.bool)
    zeros, ones = torch.zeros(count, dtype=torch.int64), torch.ones(count, dtype=torch.int64)
    logits = torch.zeros(count, 10)
    return AttackedBatch(images, adversarials, torch.arange(count), zeros, ones, logits, logits, everyone, everyone)


def still(network=None):
    torch.manual_seed(0)
    return MicroBatched(CIFARResNet(8) if network is None else network, 16)


def test_says_once_which_forward_is_used(capsys):
    monitor, network = PromotionSuppressionMonitor(), still()
    columns = monitor.measure_batch(network, attacked())
    assert columns["passes"].tolist() == [64, 64]
    said = capsys.readouterr().out
    share = float(columns["operations_share"].mean())
    assert 0.1 < share < 0.9
    assert said == f"PSR: partial forward: {share:.0%} of the operations of full ones\n"
    monitor.measure_batch(network, attacked())
    assert capsys.readouterr().out == ""


def test_waits_until_there_is_something_to_say(capsys):
    monitor, network = PromotionSuppressionMonitor(), still()
    batch = attacked()
    monitor.measure_batch(network, batch._replace(adversarials=batch.images))
    assert capsys.readouterr().out == ""
    monitor.measure_batch(network, batch)
    assert "PSR: partial forward" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("network", "forward", "line"),
    [
        (None, "full", "PSR: full forward: asked for\n"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)), "auto",
         "PSR: full forward: a cell changes too much of the maps: 100% of the operations would be spent\n"),
    ],
)  # fmt: skip
def test_says_why_it_is_the_full_one(network, forward, line, capsys):
    monitor = PromotionSuppressionMonitor(forward=forward)
    columns = monitor.measure_batch(still(network), attacked())
    assert columns["operations_share"].tolist() == [1, 1]
    assert capsys.readouterr().out == line


def test_a_failed_comparison_is_said(capsys):
    class Centred(nn.BatchNorm2d):
        """A BatchNorm that looks at all positions."""

        def forward(self, features):
            return features - features.mean((2, 3), keepdim=True)

    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), Centred(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3, bias=False),
    )  # fmt: skip
    with pytest.warns(UserWarning, match="PSR takes the full forward"):
        PromotionSuppressionMonitor().measure_batch(still(network), attacked())
    assert capsys.readouterr().out == "PSR: full forward: the partial one failed its comparison\n"


def test_cells_by_default_follow_the_images_size():
    monitor = PromotionSuppressionMonitor()
    assert monitor.effects(still(), attacked(1)).cells.shape == (64, 4)
    assert monitor.effects(still(), attacked(1, 66)).cells[0].tolist() == [0, 0, 13, 13]
    assert PromotionSuppressionMonitor(cell_size=8).effects(still(), attacked(1)).cells.shape == (16, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"forward": "fast"}, 'forward must be "auto", "partial" or "full", got \'fast\''),
        ({"stride": 5}, "stride must be at most 4 with cell_size None, got 5"),
        ({"cell_size": 0}, "cell_size must be at least 1, got 0"),
    ],
)
def test_settings_are_checked_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        PromotionSuppressionMonitor(**settings)
