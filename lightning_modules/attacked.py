"""A batch, attacked once: what the evaluation step hands to the monitors."""

import torch
from torch import nn

from advscope.attacks import Attack, Refined, succeeded
from advscope.attacks.base import MARGIN_TOLERANCE
from advscope.batch import AttackedBatch, Batch
from lightning_modules.targets import Rule, choose_targets


@torch.no_grad()
def attack_batch(
    network: nn.Module,
    attack: Attack,
    batch: Batch,
    logits: torch.Tensor,
    targeting: Rule | int | None = None,
    target_seed: int = 0,
    first: torch.Tensor | None = None,
) -> AttackedBatch:
    """Attack a batch, predict the returned images, and settle who counts.

    Args:
        network: Maps images to logits; in evaluation mode.
        attack: Any attack.
        batch: ``N`` images; a label of -1 stands for the network's own prediction.
        logits: The network's logits of the clean images, ``(N, K)``.
        targeting: Rule that chooses targets, or the number of a class; ``None`` for an untargeted attack.
        target_seed: Seed of targets that are drawn at random.
        first: For a :class:`~advscope.attacks.Refined` attack what the attack that it refines made of this batch, at
            the same targets; ``None`` lets it run that attack itself.

    Returns:
        The batch before and after. An image is *eligible* if its clean prediction is its label, and *attacked* if it is
        eligible and the returned image is predicted as the target (targeted), or not as the label (untargeted). Where
        the attack has a confidence kappa, the margin of the returned image, as seen here, must reach kappa - 1e-4 too:
        what an attack says of its own success is not taken on trust, and rounding is no failure. An image that is of
        the target class already is left as it is, and is not eligible.
    """
    predictions = logits.argmax(1)
    labels = torch.where(batch.labels < 0, predictions, batch.labels)
    targets = None if targeting is None else choose_targets(targeting, logits, labels, batch.indices, target_seed)
    wanted = torch.ones_like(labels, dtype=torch.bool) if targets is None else targets != labels
    aims = None if targets is None else targets[wanted]
    if first is not None and isinstance(attack, Refined):
        attack = attack.after(first[wanted])
    adversarials = batch.images.clone()
    adversarials[wanted] = attack(
        network, batch.images[wanted], labels[wanted], targets=aims, indices=batch.indices[wanted]
    )
    adversarial_logits = network(adversarials)
    adversarial_predictions = adversarial_logits.argmax(1)
    eligible = (predictions == labels) & wanted
    confidence = max(0.0, attack.confidence - MARGIN_TOLERANCE)
    return AttackedBatch(
        images=batch.images,
        adversarials=adversarials,
        indices=batch.indices,
        labels=labels,
        targets=adversarial_predictions if targets is None else targets,
        logits=logits,
        adversarial_logits=adversarial_logits,
        eligible=eligible,
        attacked=eligible & succeeded(adversarial_logits, labels, targets, confidence),
    )
