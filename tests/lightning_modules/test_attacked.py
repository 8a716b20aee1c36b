"""Who counts after an attack."""

import torch
from torch import nn

from advscope.attacks import PGD
from advscope.batch import Batch
from lightning_modules.attacked import attack_batch


class Brightness(nn.Module):
    """Two logits: (0, 10 (mean - 0.5)): class 1 is a bright image."""

    def forward(self, images):
        bright = 10 * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([torch.zeros_like(bright), bright], dim=1)


def attacked(values, labels, targeting=None, eps=0.1):
    images = torch.tensor(values)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()
    batch = Batch(images, torch.tensor(labels), torch.arange(len(values)))
    network = Brightness()
    attack = PGD(eps=eps, step_size=eps / 4, steps=10, random_start=False)
    return attack_batch(network, attack, batch, network(images), targeting)


def test_an_image_counts_if_it_was_right_and_is_now_wrong():
    # Right and within reach; right and out of reach; wrong from the start; right, class 0, within reach.
    result = attacked([0.55, 0.9, 0.3, 0.45], [1, 1, 1, 0])
    assert result.eligible.tolist() == [True, True, False, True]
    assert result.attacked.tolist() == [True, False, False, True]
    assert result.targets.tolist() == [0, 1, 0, 1]  # what the network says of the adversarial image


def test_a_targeted_attack_counts_by_its_target():
    result = attacked([0.55, 0.9], [1, 1], targeting="second")
    assert result.targets.tolist() == [0, 0]
    assert result.attacked.tolist() == [True, False]


def test_an_image_without_class_is_eligible_under_its_own_prediction():
    result = attacked([0.55, 0.45], [-1, -1])
    assert result.labels.tolist() == [1, 0]
    assert result.eligible.all()
    assert result.attacked.all()


def test_works_in_inference_mode():
    with torch.inference_mode():
        assert attacked([0.55], [1]).attacked.all()
