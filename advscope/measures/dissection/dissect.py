"""Network dissection: what concept each unit detects, and how far an attack moves it."""

import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from advscope.batch import Batch
from advscope.concepts import Concept
from advscope.frozen import frozen
from advscope.layers import blocks, find_layer
from advscope.measures.dissection.adversarial_images import AdversarialImages, AttackCall
from advscope.measures.dissection.concept_table import ConceptTable
from advscope.measures.dissection.dissection import Dissection
from advscope.measures.dissection.layer_tallies import LayerTallies
from advscope.measures.dissection.reference_annotations import ReferenceAnnotations
from advscope.measures.dissection.settings import DissectionSettings
from advscope.measures.dissection.tally_pass import TallyPass
from advscope.measures.dissection.threshold_passes import ThresholdPasses
from advscope.processes import is_first


def dissect(
    network: nn.Module,
    batches: Iterable[Batch],
    layers: Sequence[str] | None = None,
    *,
    concepts: Sequence[Concept] | None = None,
    attack: AttackCall | None = None,
    quantile: float = 0.05,
    union: str = "all",
    settings: DissectionSettings | None = None,
) -> Dissection:
    r"""Find which concept each unit detects, and how sensitive it is to an attack.

    Three passes over the images, whatever the number of layers: two for each unit's threshold T_k, the exact top
    quantile of its activations over all clean images and positions; and one that counts where the masks
    :math:`M_k(x) = 1[S_k(x) > T_k]`, at the annotation's resolution, meet concepts on clean and on adversarial images,
    and which of their pixels flip. Memory does not grow with the number of images. The network is left as found. With a
    network in :class:`~advscope.frozen.MicroBatched` every count is the same for any batch size, order and number of
    processes.

    Args:
        network: Maps images to logits; run in evaluation mode.
        batches: Images with ``concepts``, iterated over three times; in several processes each has its own share. An
            image of label -1 is attacked from the network's own prediction, and is always eligible. They may carry
            adversarial images (:attr:`~advscope.batch.Batch.adversarials`) in place of an attack.
        layers: Names of submodules whose outputs are maps ``(N, K, h, w)``; ``None`` for every block that gives some,
            in one tensor, once in a pass.
        concepts: Every label that images can bear; ``None`` for ``batches.concepts``, which advscope's loaders have.
        attack: Makes the adversarial images; with neither these nor an attack sensitivity is undefined.
        quantile: Share of its positions on which a unit counts as active, in (0, 1).
        union: Union of IoU: ``"all"`` images, or those with a label of the concept's ``"category"`` alone.
        settings: Everything else; where it is given, ``quantile`` and ``union`` are taken from it.

    Returns:
        For each layer what was found, and what holds for all.

    Raises:
        ValueError: If there are no images, one has no concepts or bears an unknown label, annotations differ in size, a
            layer is unknown, named twice, gives no maps or holds nan or infinity, a setting is not allowed, or the
            batches are not the same each time. What can be known in the first pass is said in it.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        eq. (7), (8). https://arxiv.org/abs/1904.02057 ;
        Bau et al., *Network Dissection*, CVPR 2017. https://arxiv.org/abs/1704.05796

    Example:
        >>> import torch
        >>> from advscope.concepts import Concept
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> images = torch.rand(6, 3, 8, 8)
        >>> sky = (images.mean(1, keepdim=True) > 0.5).short()
        >>> batch = Batch(images, torch.full((6,), -1), torch.arange(6), concepts=sky)
        >>> found = dissect(network, [batch], ["1"], concepts=[Concept(1, "sky", "object")])
        >>> found["1"].iou.shape, found["1"].best[0].name
        (torch.Size([4, 1]), 'sky')
    """
    settings = settings or DissectionSettings(quantile=quantile, union=union)
    names = blocks(network) if layers is None else list(layers)
    if not names:
        raise ValueError(f"{type(network).__name__} has no blocks to dissect, or layers is empty: name layers")
    if len(set(names)) < len(names):
        raise ValueError(f"layers must be different ones, got {', '.join(names)}")
    for name in names:
        find_layer(network, name)
    if concepts is None:
        concepts = getattr(batches, "concepts", None)
    if concepts is None:
        raise ValueError("the names of the labels are missing: pass concepts, or batches that have them as `concepts`")
    if (settings.source is not None or settings.target is not None) and attack is None:
        raise ValueError("source and target say whom to attack, but there is no attack: pass one, or leave them out")
    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    with frozen(network):
        # Made in here: tensors that are made in inference mode could not be counted in.
        table = ConceptTable(concepts, device)
        adversarial = AdversarialImages(network, attack, settings)
        references = ReferenceAnnotations() if settings.chance else None
        passes = ThresholdPasses(network, names, layers is not None, table, settings)
        for batch in batches:
            passes.check(batch)
            adversarial.check(batch)
            if references is not None and batch.concepts is not None:
                references.add(batch.indices, batch.concepts, batch.image_concepts)
            passes.count(batch, first=True)
            if passes.classes:
                adversarial.check_classes(passes.classes)
        passes.locate()
        adversarial.exchange(device)
        if references is not None:
            references.exchange()
        if passes.unlabelled and is_first():
            warnings.warn(
                f"{passes.unlabelled} of {passes.images} images bear no label: they count for thresholds and areas; "
                "leave them out of the data if they are not annotated",
                stacklevel=2,
            )
        for batch in batches:
            passes.count(batch, first=False)
        pixels = passes.images * passes.size[0] * passes.size[1]
        tallies = {
            name: LayerTallies(found, table, pixels, attacked=adversarial.given, chance=references is not None)
            for name, found in passes.result().items()
        }
        tally = TallyPass(network, tallies, table, adversarial, references, passes.size, settings)
        for batch in batches:
            tally.count(batch)
        return Dissection(
            tally.result(passes.images), concepts, settings, passes.size, passes.unlabelled, adversarial.firsts()
        )
