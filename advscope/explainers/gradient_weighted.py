"""What Grad-CAM and its like share: a layer's channels, weighted by something made of the class logit's gradient."""

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from advscope.explainers.base import Explainer, check_classes
from advscope.frozen import MicroBatched
from advscope.last_map import FeatureMap, cut_at, find_last_map
from advscope.layers import find_layer


class GradientWeighted(Explainer):
    """A layer's channels, each with one weight that follows from the gradient of the class logit towards the layer.

    The network runs once forward. Unless the maps are to be differentiable, nothing before the layer is recorded, and
    each class costs a backward pass through the part after the layer alone.

    Args:
        layer: Name of the layer, as in ``named_modules()``; its output must be ``(N, K, h, w)``, and is explained as
            the layer returned it. ``None`` is the last feature map, found from the network's structure
            (:func:`~advscope.last_map.find_last_map`).
    """

    def __init__(self, layer: str | None = None) -> None:
        self.layer = layer

    def check(self, network: nn.Module) -> None:
        """Check that the network has the layer."""
        if self.layer is not None:
            find_layer(network, self.layer)

    def maps(self, network: nn.Module, images: Tensor, classes: Tensor, create_graph: bool) -> Tensor:
        """Return the maps at the size of the layer, ``(N, M, h, w)``."""
        place = find_last_map(network, images) if self.layer is None else FeatureMap(self.layer)
        if not create_graph:
            images = images.detach()
        elif not images.requires_grad:
            # The parameters are frozen: the graph has to start somewhere.
            images = images.detach().requires_grad_()
        with cut_at(network, place, leaves=not create_graph) as parts:
            logits = network(images)
        check_classes(classes, logits.shape[1])
        passes = -(-len(images) // network.size) if isinstance(network, MicroBatched) else 1
        if len(parts) != passes:
            raise ValueError(
                f"layer {place.layer!r} ran {len(parts) / passes:g} times in one pass; name one that runs once"
            )
        features = _joined(parts, len(images))
        features = features if create_graph else features.detach()
        weights = [
            self.weights(features, gradient)
            for gradient in _gradients(logits, parts, classes, place.layer, create_graph)
        ]
        maps: Tensor = torch.einsum("nmk,nkhw->nmhw", torch.stack(weights, 1), features)
        return maps

    @abstractmethod
    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return the weights of the channels, ``(N, K)``, from their maps and gradients, ``(N, K, h, w)`` each."""


def _gradients(
    logits: Tensor, parts: list[Tensor], classes: Tensor, layer: str, create_graph: bool
) -> Iterator[Tensor]:
    """Yield the gradient of each image's logit towards its feature maps, ``(N, K, h, w)``, class by class."""
    for place in range(classes.shape[1]):
        gradients: tuple[Tensor | None, ...] = (None,)
        if logits.requires_grad:
            chosen = logits.gather(1, classes[:, place, None]).sum()
            again = create_graph or place + 1 < classes.shape[1]
            gradients = torch.autograd.grad(
                chosen, parts, create_graph=create_graph, retain_graph=again, allow_unused=True
            )
        known = [gradient for gradient in gradients if gradient is not None]
        if len(known) < len(parts):
            raise ValueError(f"the logits do not depend on layer {layer!r}; name one before the head")
        yield _joined(known, len(classes))


def _joined(parts: list[Tensor], count: int) -> Tensor:
    """Return the rows of micro-batches without padding."""
    return parts[0][:count] if len(parts) == 1 else torch.cat(parts)[:count]
