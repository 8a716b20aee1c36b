"""Tests of a network held still, run on micro-batches, and without its BatchNorms."""

import copy

import pytest
import torch
from torch import nn

from advscope.attacks import PGD
from advscope.frozen import FoldedBatchNorm, MicroBatched, frozen


def stirred(network, seed=0, dtype=torch.float64):
    """Return the network with BatchNorm statistics that are not the initial ones, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.3)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            if module.affine:
                module.weight.data.copy_(torch.randn(module.num_features, generator=generator))
                module.bias.data.copy_(torch.randn(module.num_features, generator=generator))
    return network.to(dtype).eval()


class Residual(nn.Module):
    """conv-bn-relu and an addition, the second convolution with a bias, the second BatchNorm without affine."""

    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(width, affine=False)

    def forward(self, features):
        return torch.relu(features + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(features))))))


class PreActivation(nn.Module):
    """bn-relu-conv: only the middle BatchNorm has a convolution's output to itself."""

    def __init__(self, width):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, features):
        inner = torch.relu(self.bn1(features))
        return features + self.conv2(torch.relu(self.bn2(self.conv1(inner))))


def resnet(block=Residual, channels=3, width=8, classes=5):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        block(width), block(width), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, classes),
    )  # fmt: skip


class TestFrozen:
    """The context manager."""

    def test_everything_comes_back_also_under_exceptions(self):
        network = resnet().train()
        network[1].eval()
        network[3].bn1.weight.requires_grad_(False)
        network[7].bias.grad = torch.ones(5)
        modes = [module.training for module in network.modules()]
        wanted = [parameter.requires_grad for parameter in network.parameters()]
        state = copy.deepcopy(network.state_dict())
        random = torch.get_rng_state()
        for outer in (torch.inference_mode(True), torch.no_grad(), torch.enable_grad()):
            with outer:
                with pytest.raises(RuntimeError, match="within"), frozen(network) as still:  # noqa: PT012
                    assert still is network
                    assert not any(module.training for module in network.modules())
                    assert not any(parameter.requires_grad for parameter in network.parameters())
                    images = torch.rand(2, 3, 8, 8, requires_grad=True)
                    (gradients,) = torch.autograd.grad(network(images).square().sum(), images)
                    assert gradients.abs().max() > 0
                    raise RuntimeError("within")
                assert [module.training for module in network.modules()] == modes
                assert [parameter.requires_grad for parameter in network.parameters()] == wanted
                assert torch.equal(torch.get_rng_state(), random)
        assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
        assert torch.equal(network[7].bias.grad, torch.ones(5))
        assert sum(parameter.grad is not None for parameter in network.parameters()) == 1

    def test_gradient_modes_of_the_caller_come_back(self):
        network = resnet()
        with torch.inference_mode():
            with frozen(network):
                assert torch.is_grad_enabled()
                assert not torch.is_inference_mode_enabled()
            assert torch.is_inference_mode_enabled()
            assert not torch.is_grad_enabled()

    def test_training_goes_on_afterwards(self):
        network = resnet().train()
        with frozen(network):
            network(torch.rand(2, 3, 8, 8))
        network(torch.rand(4, 3, 8, 8)).sum().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
        assert network[1].num_batches_tracked == 1


class TestMicroBatched:
    """Micro-batches of one fixed size."""

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("side", [12, 28])
    def test_logits_do_not_depend_on_the_batch_by_a_bit(self, channels, side):
        network = MicroBatched(stirred(resnet(channels=channels), dtype=torch.float32), size=4)
        images = torch.rand(11, channels, side, side)
        whole = network(images)
        # Lone, a full micro-batch, another order, other neighbours, twice the same.
        for rows in ([6], [4, 5, 6, 7], list(range(10, -1, -1)), [0, 9, 3, 3, 5]):
            assert torch.equal(network(images[rows]), whole[rows])
        turned = images.transpose(2, 3).contiguous().transpose(2, 3)
        for other in (images.contiguous(memory_format=torch.channels_last), turned):
            assert torch.equal(network(other), whole)
            assert torch.equal(network(other[:8]), whole[:8])

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("settings", [
        {"steps": 4, "eps": 0.1}, {"steps": 4, "norm": "L2", "eps": 1.0, "step_size": 0.4},
        {"steps": 2, "norm": "L2", "eps": 0.3, "step_size": 0.2, "restarts": 3},
        {"steps": 2, "eps": 0.02, "restarts": 3},
    ], ids=str)  # fmt: skip
    def test_attacks_do_not_depend_on_the_batch_by_a_bit(self, settings, channels):
        network = MicroBatched(stirred(resnet(channels=channels), dtype=torch.float32), size=4)
        images, indices = torch.rand(11, channels, 12, 12), torch.arange(11) * 3
        labels = network(images).argmax(1)
        attack = PGD(**settings)
        whole = attack(network, images, labels, indices=indices)
        for rows in ([6], [4, 5, 6, 7], list(range(10, -1, -1)), [0, 9, 3, 3, 5]):
            assert torch.equal(attack(network, images[rows], labels[rows], indices=indices[rows]), whole[rows])

    def test_is_the_same_function(self):
        plain = stirred(resnet())
        network = MicroBatched(plain, size=4)
        images = torch.rand(7, 3, 12, 12, dtype=torch.float64, requires_grad=True)
        torch.testing.assert_close(network(images), plain(images), rtol=0, atol=1e-12)
        gradients = [torch.autograd.grad(n(images).square().sum(), images)[0] for n in (network, plain)]
        assert gradients[0].abs().max() > 0
        torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)

    def test_takes_what_is_no_image(self):
        network = MicroBatched(nn.Linear(3, 2), size=4)
        rows = torch.rand(6, 3)
        torch.testing.assert_close(network(rows), network.network(rows))

    def test_every_micro_batch_has_the_size(self):
        sizes = []
        plain = resnet().eval()
        plain.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
        MicroBatched(plain, size=4)(torch.rand(9, 3, 8, 8))
        assert sizes == [4, 4, 4]

    def test_counts_images_without_padding(self):
        network = MicroBatched(resnet(), size=4)
        PGD(steps=3)(network, torch.rand(6, 3, 8, 8), torch.tensor([-1, 0, 1, 2, 3, 4]))
        # One image's own prediction, and three steps of six.
        assert (network.forwards, network.backwards) == (1 + 18, 18)

    def test_takes_an_empty_batch(self):
        assert MicroBatched(resnet().eval())(torch.rand(0, 3, 8, 8)).shape == (0, 5)

    def test_refuses_what_makes_no_sense(self):
        with pytest.raises(ValueError, match="size must be at least 1, got 0"):
            MicroBatched(resnet(), size=0)
        with pytest.raises(ValueError, match="micro-batched already"):
            MicroBatched(MicroBatched(resnet()))


def assert_same_function(folded, network, images=None):
    """Logits and gradients towards the images agree to 1e-10 in float64."""
    images = torch.rand(3, 3, 12, 12, dtype=torch.float64) if images is None else images
    images.requires_grad_()
    logits = [n(images) for n in (folded, network)]
    torch.testing.assert_close(*logits, rtol=0, atol=1e-10)
    weights = torch.randn(logits[0].shape, dtype=torch.float64)
    gradients = [torch.autograd.grad((z * weights).sum(), images)[0] for z in logits]
    assert gradients[1].abs().max() > 1e-6
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-10)


class Branching(nn.Module):
    """A network that fx cannot trace: its path depends on values."""

    def __init__(self):
        super().__init__()
        self.body = resnet()

    def forward(self, images):
        return self.body(images) if images.mean() > -1 else self.body(-images)


class Shared(nn.Module):
    """Weights of a convolution that a BatchNorm follows, used again."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.conv, self.bn, self.other = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, padding=1)
        if how == "tied":
            self.other.weight = self.conv.weight
        if how == "alias":
            self.bn_too = self.bn
        if how == "hooked":
            self.conv.register_forward_hook(lambda module, inputs, output: 2 * output)

    def forward(self, images):
        features = self.conv(images)
        normed = (self.bn_too if self.how == "alias" else self.bn)(features)
        if self.how == "twice":
            normed = self.bn(self.conv(normed))
        if self.how == "direct":
            normed = normed + nn.functional.conv2d(images, self.conv.weight, padding=1)
        if self.how == "branch":
            normed = normed + features
        return self.other(normed).flatten(1)


class TestFoldedBatchNorm:
    """BatchNorm folded into convolutions."""

    def test_is_the_same_function_and_follows_the_weights(self):
        network = stirred(resnet())
        folded = FoldedBatchNorm(network)
        blocks = [(f"{block}.conv{place}", f"{block}.bn{place}") for block in (3, 4) for place in (1, 2)]
        assert folded.folded == [("0", "1"), *blocks]
        assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
        assert_same_function(folded, network)
        before = folded(torch.full((1, 3, 12, 12), 0.5, dtype=torch.float64))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        network.train()(torch.rand(4, 3, 12, 12, dtype=torch.float64)).square().sum().backward()
        optimizer.step()
        network.eval()
        assert torch.equal(folded(torch.full((1, 3, 12, 12), 0.5, dtype=torch.float64)), before)
        assert folded.refresh() is folded
        assert_same_function(folded, network)
        assert (folded(torch.full((1, 3, 12, 12), 0.5, dtype=torch.float64)) - before).abs().max() > 1e-4

    def test_before_activations_only_what_a_convolution_feeds_is_folded(self):
        network = stirred(resnet(PreActivation))
        folded = FoldedBatchNorm(network)
        assert folded.folded == [("0", "1"), ("3.conv1", "3.bn2"), ("4.conv1", "4.bn2")]
        assert_same_function(folded, network)

    def test_a_network_that_cannot_be_traced_is_copied(self):
        network = stirred(Branching())
        folded = FoldedBatchNorm(network)
        assert folded.folded == []
        assert_same_function(folded, network)
        with torch.no_grad():
            network.body[7].weight.add_(1)
        assert_same_function(folded.refresh(), network)

    @pytest.mark.parametrize("how", ["tied", "alias", "hooked", "twice", "direct", "branch"])
    def test_what_is_shared_is_not_folded(self, how):
        network = stirred(Shared(how))
        folded = FoldedBatchNorm(network)
        assert folded.folded == []
        assert_same_function(folded, network)
        assert FoldedBatchNorm(stirred(Shared("not"))).folded == [("conv", "bn")]

    def test_a_batch_norm_without_running_statistics_is_not_folded(self):
        network = stirred(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten()))
        folded = FoldedBatchNorm(network)
        assert folded.folded == []
        assert_same_function(folded, network)

    def test_the_original_is_no_part_of_it_and_stays_as_it_was(self):
        network = stirred(resnet()).train()
        state = copy.deepcopy(network.state_dict())
        folded = FoldedBatchNorm(network)
        assert not set(map(id, folded.parameters())) & set(map(id, network.parameters()))
        assert not any(parameter.requires_grad for parameter in folded.parameters())
        assert all(module.training for module in network.modules())
        assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())

    def test_an_attack_on_it_is_an_attack_on_the_network(self):
        network = stirred(resnet())
        images, labels = torch.rand(4, 3, 12, 12, dtype=torch.float64), torch.tensor([0, 1, 2, 3])
        attack = PGD(steps=4)
        torch.testing.assert_close(
            attack(FoldedBatchNorm(network), images, labels), attack(network, images, labels), rtol=0, atol=1e-9
        )
