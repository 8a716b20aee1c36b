"""Examples of what a dissection found: where units respond in image pairs, and the images that move them most."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advscope.batch import Batch
from advscope.explainers import CAM
from advscope.frozen import frozen
from advscope.layers import activations
from advscope.measures import Dissection, promotion_suppression, significant, unit_masks
from advscope.report import TopImages, UnitExamples

LAYERS = 4
"""Layers of which examples are shown, spread from the first to the last."""

UNITS = 3
"""Units of each layer whose top images are shown."""

Attack = Callable[..., Tensor]


def unit_examples(
    network: nn.Module, dissection: Dissection, batch: Batch, attack: Attack, class_names: Sequence[str]
) -> UnitExamples:
    """Return where units respond in image pairs (Xu et al. 2019, Figure 8), with PSR and CAM of the same pairs (A7).

    Of each of at most four layers three units: the detector with the highest IoU that is active on the clean images;
    among the others the detector whose masks lose most pixels under attack (``suppressed``), and the one whose masks
    gain most (``promoted``). PSR and CAM are there where the network has a class activation map.

    Args:
        network: What was dissected.
        dissection: What was found.
        batch: Images that the attack succeeded on.
        attack: The attack of the dissection.
        class_names: Names of the network's classes.
    """
    device = next(network.parameters()).device
    images, indices = batch.images.to(device), batch.indices.to(device)
    layers = shown(list(dissection))
    with frozen(network), torch.no_grad():
        clean, logits = activations(network, images, layers)
        labels = batch.labels.to(device)
        labels = labels.where(labels >= 0, logits.argmax(1))
        target = dissection.settings.target
        towards = {} if target is None else {"targets": torch.full_like(labels, target)}
        adversarials = attack(network, images, labels, indices=indices, **towards)
        moved, moved_logits = activations(network, adversarials, layers)
    targets = moved_logits.argmax(1)
    found: dict[str, list[Any]] = {name: [] for name in ("layers", "units", "concepts", "categories", "roles")}
    masks, moved_masks = [], []
    for layer in layers:
        thresholds = dissection[layer].threshold
        before, after = (_masks(dissection, maps[layer], thresholds) for maps in (clean, moved))
        for unit, role in _chosen(dissection, layer, before, after):
            concept = dissection[layer].best[unit]
            values = (layer, unit, "" if concept is None else concept.name, "" if concept is None else concept.category)
            for name, value in zip(found, (*values, role), strict=True):
                found[name].append(value)
            masks.append(before[:, unit])
            moved_masks.append(after[:, unit])
    nothing = torch.zeros(len(images), 0, *dissection.mask_size, dtype=torch.bool)
    return UnitExamples(
        images=images.cpu().numpy(),
        adversarials=adversarials.cpu().numpy(),
        masks=(torch.stack(masks, 1).cpu() if masks else nothing).numpy(),
        adversarial_masks=(torch.stack(moved_masks, 1).cpu() if moved_masks else nothing).numpy(),
        **{name: np.array(values, dtype=np.int64 if name == "units" else str) for name, values in found.items()},
        indices=indices.cpu().numpy(),
        labels=np.array([class_names[label] for label in labels.tolist()], dtype=str),
        targets=np.array([class_names[label] for label in targets.tolist()], dtype=str),
        **_explanations(network, images, adversarials, labels, targets),
    )


def top_images(network: nn.Module, dissection: Dissection, load: Callable[[Sequence[int]], Batch]) -> TopImages | None:
    """Return the images on which the best detectors of some layers are most active; None where none are known.

    Args:
        network: What was dissected.
        dissection: What was found.
        load: Returns the images at some places in the data set.
    """
    fields: dict[str, list[Any]] = {name: [] for name in TopImages._fields}
    for layer in shown(list(dissection)):
        found = dissection[layer]
        best = torch.tensor([one.value for one in found.best_iou]).nan_to_num(-1)
        for unit in best.argsort(descending=True, stable=True)[:UNITS].tolist():
            indices = found.top_images[unit].tolist()
            if not indices or min(indices) < 0:
                continue
            batch = load(indices)
            images = batch.images.to(found.threshold.device)
            with frozen(network), torch.no_grad():
                maps, _ = activations(network, images, [layer])
            concept = found.best[unit]
            row = (
                images.cpu().numpy(),
                _masks(dissection, maps[layer], found.threshold)[:, unit].cpu().numpy(),
                layer,
                unit,
                "" if concept is None else concept.name,
                "" if concept is None else concept.category,
                found.top_values[unit].cpu().numpy(),
                found.top_images[unit].cpu().numpy(),
            )
            for values, value in zip(fields.values(), row, strict=True):
                values.append(value)
    if not fields["units"]:
        return None
    return TopImages(**{name: np.array(values) for name, values in fields.items()})


def shown(layers: list[str]) -> list[str]:
    """Return at most :data:`LAYERS` layers, spread evenly from the first to the last."""
    if len(layers) <= LAYERS:
        return layers
    return [layers[round(place)] for place in np.linspace(0, len(layers) - 1, LAYERS)]


def _masks(dissection: Dissection, maps: Tensor, thresholds: Tensor) -> Tensor:
    settings = dissection.settings
    each = [
        unit_masks(one[None].float(), thresholds, dissection.mask_size, settings.strict, settings.align_corners)
        for one in maps
    ]
    return torch.cat(each)


def _chosen(dissection: Dissection, layer: str, before: Tensor, after: Tensor) -> list[tuple[int, str]]:
    """Return the units of a layer that are shown, and as what."""
    found = dissection[layer]
    iou = torch.tensor([one.value for one in found.best_iou], device=before.device).nan_to_num(-1)
    areas, moved = (masks.flatten(2).sum(2).double().mean(0) for masks in (before, after))
    free = found.detectors.clone()
    chosen = []
    for role, score, wanted in (
        ("detector", iou, areas > 0),
        ("suppressed", areas - moved, areas > moved),
        ("promoted", moved - areas, moved > areas),
    ):
        possible = free & wanted
        if possible.any():
            unit = int(score.masked_fill(~possible, -torch.inf).argmax())
            free[unit] = False
            chosen.append((unit, role))
    return chosen


def _explanations(
    network: nn.Module, images: Tensor, adversarials: Tensor, labels: Tensor, targets: Tensor
) -> dict[str, Any]:
    """Return CAM and PSR of image pairs; nothing where the network has no class activation map."""
    cam = CAM()
    try:
        cam.check(network)
    except ValueError:
        return {}
    effects = promotion_suppression(network, images, adversarials, labels, targets, cell_size=None)
    ratio = effects.ratio.cpu()
    classes = torch.where(ratio < -1, 0, torch.where(ratio > 1, 1, 2))
    classes[~significant(effects.score).cpu()] = -1
    return {
        "map_true": cam(network, images, labels).float().cpu().numpy(),
        "map_target": cam(network, adversarials, targets).float().cpu().numpy(),
        "cells": effects.cells.cpu().numpy(),
        "cell_classes": classes.to(torch.int8).numpy(),
    }
