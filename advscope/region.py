"""What every region is: a value that says where in each image an attack is to be held."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from advscope.value import Value


class Region(Value, ABC):
    """A rule that names pixels of an image that was attacked; holds settings only.

    A subclass keeps each argument of its ``__init__`` in an attribute of the same name, and defines ``__call__``. What
    it returns for an image must not depend on the batch around it.
    """

    @abstractmethod
    def __call__(
        self, network: nn.Module, images: Tensor, adversarials: Tensor, labels: Tensor, targets: Tensor
    ) -> Tensor:
        """Return the region of each image.

        Args:
            network: Maps images to logits; in evaluation mode, left as found.
            images: Clean images in [0, 1], ``(N, C, H, W)``, N >= 1.
            adversarials: What an attack made of them, of the same shape.
            labels: True classes t0, int64 ``(N,)``.
            targets: Target classes t, int64 ``(N,)``; for an untargeted attack the class that the network gives to the
                adversarial image, which is the label where the attack failed.

        Returns:
            True in the region, bool ``(N, 1, H, W)``; all false for an image whose region is undefined.
        """
