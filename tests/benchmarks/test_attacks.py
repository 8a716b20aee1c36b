"""The attack benchmark: what it counts, whom it believes, and that each peer runs as it is called."""

import math
import re

import pytest
import torch
from torch import nn

from benchmarks import attack_peers, attacks
from benchmarks.attack_figures import Outcome, common, inside_range, run_way, sizes, succeeded, to_markdown
from benchmarks.attack_peers import PEERS, Way
from benchmarks.attacks import OURS
from benchmarks.counted_network import CountedNetwork
from benchmarks.published_networks import WEIGHTS, Images, published_network, right_images

MODULES = {"torchattacks": ["torchattacks"], "foolbox": ["foolbox"], "adv-lib": ["adv_lib.attacks"]}


class Linear(nn.Module):
    """Four classes, each with a quarter of a 4 x 4 image of its own: the margin is a difference of their means."""

    def __init__(self, classes=4):
        super().__init__()
        self.weight = nn.Parameter(10 * torch.eye(classes).repeat_interleave(16 // classes, 1))

    def forward(self, images):
        return images.mean(1).flatten(1) @ self.weight.T


def case(count=3):
    generator = torch.Generator().manual_seed(0)
    images = 0.3 + 0.4 * torch.rand(count, 3, 4, 4, generator=generator)
    logits = Linear()(images).detach()
    labels = logits.argmax(1)
    return Images(images, labels, logits.argmin(1))


def outcome(success, **values):
    filled = {name: torch.tensor(column, dtype=torch.float64) for name, column in values.items()}
    blank = torch.zeros(len(success), dtype=torch.float64)
    every = {name: filled.get(name, blank) for name in ("l0", "l1", "l2", "linf", "elastic", "group", "active_cells")}
    return Outcome(torch.tensor(success), every, 0, 10.0, 5.0, 2.0)


def test_passes_are_counted_wherever_gradients_go():
    network = CountedNetwork(Linear().eval())
    assert not network.training
    images = torch.rand(5, 3, 4, 4)
    with torch.no_grad():
        network(images)
    assert (network.forwards, network.backwards) == (5, 0)
    images.requires_grad_()
    network(images[:2])  # never differentiated
    torch.autograd.grad(network(images[:3]).sum(), images)
    network(images).sum().backward()
    assert (network.forwards, network.backwards) == (15, 8)


def test_success_is_the_target_by_the_margin_on_the_plain_network():
    network = nn.Flatten()  # the pixels are the logits
    logits = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [1.5, 1.0, 0.0], [1.0, 1.0, 0.0], [1.99995, 1.0, 0.0]])
    targets = torch.zeros(5, dtype=torch.int64)
    found = [succeeded(network, logits[:, None, None], targets, confidence).tolist() for confidence in (0.0, 1.0)]
    assert found == [[True, False, True, False, True], [True, False, False, False, True]]


def test_what_leaves_the_range_is_no_image():
    pixels = torch.tensor([[0.0, 1.0], [-2e-6, 0.5], [0.5, 1.1]]).view(3, 1, 1, 2)
    assert inside_range(pixels, 1e-6).tolist() == [True, False, False]
    assert inside_range(pixels, 1e-4).tolist() == [True, True, False]
    assert inside_range(torch.full((1, 1, 2, 2), torch.nan), 1e-4).tolist() == [False]


def test_the_elastic_value_is_the_one_that_the_attack_minimises():
    images = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    found = sizes(images, images + torch.tensor([[0.3, 0.0], [0.0, 0.4]]).double())
    assert found["elastic"].item() == pytest.approx(0.25 + 0.01 * 0.7)
    assert found["group"].item() == pytest.approx(0.5)


def test_a_way_is_counted_timed_and_checked_whatever_it_says_of_itself():
    def half(network, images, labels, targets, confidence):
        """Reach the target on the first image; return the others as they are."""
        network(images), network(images)
        moved = images.clone()
        moved[0] = 0
        moved[0].flatten(1)[:, 4 * targets[0] : 4 * targets[0] + 4] = 1
        return moved

    given = case()
    found = run_way(Way(half), Linear().eval(), given, 0.0)
    assert found.success.tolist() == [True, False, False]
    assert (found.forwards, found.backwards, found.outside) == (2, 0, 0)
    assert found.sizes["l2"][1:].tolist() == [0, 0]


def test_common_images_are_those_of_all_ways_but_the_ones_that_mostly_fail():
    ways = {
        "good": outcome([True, True, True, False], l2=[1, 2, 3, 99]),
        "half": outcome([True, True, False, False], l2=[4, 6, 99, 99]),
        "bad": outcome([False, False, False, True]),
    }
    every, asked = common(ways)
    assert every.tolist() == [True, True, False, False]
    assert asked == ["good", "half"]
    page = to_markdown("title", ways, ["a note"])
    assert "| good | 0.750 [0.301, 0.954] |" in page
    own, shared, paired = re.split("Over the 2 images that all of these succeeded on|Image by image over good", page)
    assert "2.000 [0.868, 3.132]" in own  # 1, 2, 3: mean 2, 1.96 / sqrt(3) on either side
    assert "1.500 [0.520, 2.480]" in shared  # 1, 2
    assert "| bad |" in own
    assert "| bad |" not in shared
    assert "- a note" in own
    # 4 / 1 and 6 / 2: the root of 12. The third way has no image in common with the first, and no ratio.
    half = math.exp(1.959963984540054 * math.log(4 / 3) / 2)
    low, high = math.sqrt(12) / half, math.sqrt(12) * half
    assert f"{math.sqrt(12):.3f} [{low:.3f}, {high:.3f}]" in paired
    assert "| bad | - [-, -]" in paired
    every, asked = common({"bad": ways["bad"]})
    assert (int(every.sum()), asked) == (0, [])
    assert "Over the 0 images" in to_markdown("title", {"bad": ways["bad"]}, [])


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, ways in PEERS.items() for name in ways])
def test_each_peer_reaches_the_targets_of_a_linear_network(family, name, monkeypatch):
    for library, modules in MODULES.items():
        for module in modules if name.startswith(library) else ():
            pytest.importorskip(module, reason=f"{library} is not installed: make benchmarks-setup")
    monkeypatch.setattr(attack_peers, "SEARCH", 5)
    monkeypatch.setattr(attack_peers, "STEPS", 60)
    monkeypatch.setattr(attack_peers, "GROUP_SEARCH", 3)
    network, given = Linear().eval().requires_grad_(False), case()
    found = run_way(PEERS[family][name], network, given, 0.0)
    logits = network(given.images)
    gap = (logits.amax(1) - logits.gather(1, given.targets[:, None]).squeeze(1)).double()
    # The nearest image of equal logits: the gap over the norm of the difference of two classes' weights.
    nearest = gap / math.sqrt(2 * 12 * (10 / 3) ** 2)
    assert found.backwards > 0
    assert found.success.any()
    assert (found.sizes["l2"] >= 0.99 * nearest)[found.success].all()
    if family == "cw" and not name.startswith("torchattacks"):
        assert found.success.all()
        assert (found.sizes["l2"] <= 1.25 * nearest).all()


@pytest.mark.parametrize(
    ("family", "name", "honoured"),
    [
        ("cw", "torchattacks CW", False),
        ("cw", "foolbox L2CarliniWagnerAttack", True),
        ("cw", "adv-lib carlini_wagner_l2", True),
        ("minimum", "adv-lib alma, l2", True),
    ],
)
def test_the_confidence_arrives_where_a_peer_honours_it(family, name, honoured, monkeypatch):
    for library, modules in MODULES.items():
        for module in modules if name.startswith(library) else ():
            pytest.importorskip(module, reason=f"{library} is not installed: make benchmarks-setup")
    monkeypatch.setattr(attack_peers, "SEARCH", 5)
    monkeypatch.setattr(attack_peers, "STEPS", 60)
    found = run_way(PEERS[family][name], Linear().eval().requires_grad_(False), case(), 0.5)
    assert found.success.tolist() == [honoured] * 3


def test_ours_are_asked_for_a_confidence_and_without_one_are_left_out():
    asked = []

    def make(confidence):
        asked.append(confidence)
        return attacks.PGD(0.3, 0.1, 10)

    ways = {"with": attacks.ours(make), "without": attacks.ours(make, confidence=False)}
    found, notes = attacks.run_family(ways, Linear().eval(), case(), 1.0)
    assert asked == [1.0]
    assert set(found) == {"with"}
    assert notes == ["without has no confidence: not run"]
    assert found["with"].backwards == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "0"], "--images must be positive"),
        (["--confidence", "-1"], "--confidence not negative"),
        (["--shared", "nowhere"], "--shared nowhere: there is no folder data in it"),
        (["--only", "nobody"], "--only nobody: no way of"),
    ],
)
def test_settings_that_cannot_be_run_end_in_one_line(arguments, message, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    given = arguments if "--shared" in arguments else [*arguments, "--shared", str(tmp_path)]
    with pytest.raises(SystemExit):
        attacks.parse(given)
    assert message in capsys.readouterr().err


def test_a_peer_that_is_missing_is_named_with_its_remedy(tmp_path, monkeypatch, capsys):
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(attacks.importlib.util, "find_spec", lambda module: None if module == "visdom" else module)
    with pytest.raises(SystemExit):
        attacks.parse(["--shared", str(tmp_path)])
    assert "visdom not installed: run `make benchmarks-setup`" in capsys.readouterr().err
    # Ours run without any peer.
    assert attacks.parse(["--shared", str(tmp_path), "--attacks", "pgd"]).ways == {"pgd": OURS["pgd"]}


def test_runs_on_a_published_network(shared, tmp_path, capsys):
    page = tmp_path / "page.md"
    common_ = ["--networks", "resnet20", "--images", "4", "--confidence", "0", "--shared", str(shared)]
    attacks.main([*common_, "--attacks", "pgd", "--markdown", str(page)])
    assert "### resnet20, pgd, confidence 0, 4 images" in capsys.readouterr().out
    assert "| advscope PGD, 8/255 | 1.000 [0.510, 1.000] |" in page.read_text()


def test_images_are_right_and_targets_are_other_classes(shared):
    network = published_network("resnet20", shared)
    few, more = (right_images(network, shared, count) for count in (5, 12))
    assert all(torch.equal(one, other[:5]) for one, other in zip(few, more, strict=True))
    assert torch.equal(network(more.images).argmax(1), more.labels)
    assert bool((more.targets != more.labels).all())
    with pytest.raises(ValueError, match="--images 5000: the network classifies"):
        right_images(network, shared, 5000)
    assert set(WEIGHTS) == {"resnet20", "resnet56"}
