"""Network dissection: what concept each unit detects, and how far an attack moves it."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from advscope.batch import Batch
from advscope.concepts import Concept
from advscope.frozen import frozen
from advscope.layers import blocks
from advscope.measures.dissection.dissected_layer import DissectedLayer
from advscope.measures.dissection.passes import AttackCall, DissectionPasses
from advscope.measures.dissection.settings import DissectionSettings


def dissect(
    network: nn.Module,
    batches: Iterable[Batch],
    concepts: Sequence[Concept],
    layers: Sequence[str] | None = None,
    attack: AttackCall | None = None,
    settings: DissectionSettings | None = None,
) -> dict[str, DissectedLayer]:
    r"""Find which concept each unit detects, and how sensitive it is to an attack.

    Three passes over the images, whatever the number of layers: two for each unit's threshold T_k, the exact top
    quantile of its activations over all clean images and positions; and one that counts where the masks
    :math:`M_k(x) = 1[S_k(x) > T_k]`, at the annotation's resolution, meet concepts, and which of their pixels the
    attack flips. Memory does not grow with the number of images. The network is left as found. With a network in
    :class:`~advscope.frozen.MicroBatched` every count is the same for any batch size, order and number of processes.

    Args:
        network: Maps images to logits; run in evaluation mode.
        batches: Images with ``concepts``, iterated over three times; in several processes each has its own share. An
            image of label -1 is attacked from the network's own prediction, and is always eligible.
        concepts: Every label that images can bear.
        layers: Names of submodules whose outputs are ``(N, K, h, w)`` or ``(N, K)``; ``None`` for every block.
        attack: Makes the adversarial images; ``None`` leaves sensitivity undefined.
        settings: How it is done; ``None`` for the defaults.

    Returns:
        For each layer what was found.

    Raises:
        ValueError: If there are no images, one has no concepts or bears an unknown label, annotations differ in size, a
            layer is unknown, named twice or holds nan, or a setting is not allowed.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        eq. (7), (8). https://arxiv.org/abs/1904.02057 ;
        Bau et al., *Network Dissection*, CVPR 2017. https://arxiv.org/abs/1704.05796
    """
    names = blocks(network) if layers is None else list(layers)
    if not names:
        raise ValueError(f"{type(network).__name__} has no blocks to dissect, or layers is empty: name layers")
    if len(set(names)) < len(names):
        raise ValueError(f"layers must be different ones, got {', '.join(names)}")
    with frozen(network):
        # Made in here: tensors that are made in inference mode could not be counted in.
        dissection = DissectionPasses(network, names, concepts, attack, settings or DissectionSettings())
        with torch.no_grad():
            for batch in batches:
                dissection.check_concepts(batch)
                dissection.count_values(batch)
            dissection.locate()
            for batch in batches:
                dissection.count_values(batch)
            dissection.settle_thresholds()
        for batch in batches:
            dissection.tally(batch)
        return dissection.result()
