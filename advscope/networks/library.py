"""Any classifier of torchvision or timm, as a network that takes images in [0, 1]."""

import importlib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn
from torchvision import models

from advscope.networks.normalize import Normalize
from advscope.networks.preprocessing import Preprocessing, timm_preprocessing, torchvision_preprocessing

_AUXILIARY_HEADS = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
"""Heads that serve training alone: left out, and their weights in a file with them."""


class Library(nn.Module):
    """A classifier of torchvision or timm by name, behind its own normalisation.

    Args:
        name: ``torchvision/`` or ``timm/``, and the library's name of the network: ``torchvision/resnet50``,
            ``timm/resnet18``, ``timm/resnet18.a1_in1k``.
        num_classes: Classes, K. With ``pretrained``, torchvision has 1,000; timm starts a new head for another number.
        pretrained: Whether to take the library's own weights, which are downloaded. For weights in a file, leave it
            off and use :func:`~advscope.networks.load_weights`.
        mean: Mean of each channel in image units; ``None`` is what the library states for the network's weights, and
            ImageNet's where it states nothing.
        std: Standard deviation, likewise.
        settings: Further arguments of the library's constructor.

    Attributes:
        preprocessing: What images the network's weights were made for: side, short side before the crop,
            interpolation; mean and std are those in use. It belongs to the library's default weights (of timm, to the
            tag in the name); older weights in a file may want another (torchvision's first ones a short side of 256).
        unused_weights: Prefixes of weights that published files hold and the network leaves out: heads that serve
            training alone.

    Raises:
        ValueError: If the name is unknown (the message gives the nearest), or has no such pretrained weights.
        ModuleNotFoundError: If timm is asked for and is not installed; the message gives the command.
        ConnectionError: If the pretrained weights cannot be downloaded.
    """

    def __init__(
        self,
        name: str,
        num_classes: int = 1000,
        pretrained: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        library, _, network_name = name.partition("/")
        if library not in ("torchvision", "timm") or not network_name:
            raise ValueError(f'name must be "torchvision/NAME" or "timm/NAME", got {name!r}')
        build = _from_torchvision if library == "torchvision" else _from_timm
        try:
            network, own = build(network_name, num_classes, pretrained, dict(settings or {}))
        except OSError as error:
            raise ConnectionError(
                f"the pretrained weights of {name} cannot be downloaded ({type(error).__name__}): "
                "set pretrained to false, and load them from a file"
            ) from error
        self.name = name
        self.preprocessing: Preprocessing = own._replace(
            mean=own.mean if mean is None else tuple(mean), std=own.std if std is None else tuple(std)
        )
        self.normalize = Normalize(self.preprocessing.mean, self.preprocessing.std)
        self.network = network
        self.unused_weights = tuple(
            prefix
            for prefix in _AUXILIARY_HEADS.get(network_name.partition(".")[0], ())
            if not any(key.startswith(prefix) for key in network.state_dict())
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``(N, 3, H, W)`` images in [0, 1], ``(N, K)``."""
        logits: Tensor = self.network(self.normalize(images))
        return logits

    def extra_repr(self) -> str:
        """Return the name."""
        return self.name


_Built = tuple[nn.Module, Preprocessing]


def _from_torchvision(name: str, num_classes: int, pretrained: bool, settings: dict[str, Any]) -> _Built:
    """Return a network of torchvision with the preprocessing of its default weights."""
    # Of its classification models alone: detection and segmentation do not return logits.
    _check_known("torchvision", name, models.list_models(module=models))
    if pretrained and num_classes != 1000:
        raise ValueError(
            f"torchvision/{name}: pretrained weights have 1,000 classes, got num_classes={num_classes}: "
            "use 1000, or pretrained=False"
        )
    if name in _AUXILIARY_HEADS:
        # Else these two return logits and auxiliary logits while they train, and warn about their initialisation. Their
        # published weights were made for images in [-1, 1]: torchvision sets `transform_input` with its own download
        # alone, and weights from a file would get images normalised otherwise.
        settings = {"aux_logits": False, "init_weights": not pretrained, "transform_input": True} | settings
    if not pretrained:
        settings = {"num_classes": num_classes} | settings
    network = models.get_model(name, weights="DEFAULT" if pretrained else None, **settings)
    return network, torchvision_preprocessing(models.get_model_weights(name).DEFAULT.transforms())


def _from_timm(name: str, num_classes: int, pretrained: bool, settings: dict[str, Any]) -> _Built:
    """Return a network of timm with the preprocessing of its configuration."""
    try:
        timm = importlib.import_module("timm")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f'timm/{name} needs timm: pip install "advscope[timm]"') from None
    architecture, _, tag = name.partition(".")
    _check_known("timm", architecture, timm.list_models())
    if tag and name not in timm.list_pretrained(f"{architecture}.*"):
        _check_known("timm", name, timm.list_pretrained(f"{architecture}.*"))
    if pretrained and not timm.is_model_pretrained(name):
        raise ValueError(f"timm/{name} has no pretrained weights: set pretrained to false")
    network = timm.create_model(name, pretrained=pretrained, num_classes=num_classes, **settings)
    return network, timm_preprocessing(network.pretrained_cfg)


def _check_known(library: str, name: str, known: Sequence[str]) -> None:
    """Refuse a name that a library does not have, with those nearest to it."""
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.3) or list(known)[:3]
        nearest = ", ".join(f"{library}/{other}" for other in near)
        raise ValueError(f"{library} has no classifier {name!r}; the nearest names are {nearest or 'none'}")
