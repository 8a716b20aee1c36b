"""A network that counts the images which pass through it, forward and backward."""

from torch import Tensor, nn


class CountedNetwork(nn.Module):
    """Counts the passes of whatever attacks the network inside it, with no say in how the attack is written.

    Args:
        network: Maps images to logits.

    Attributes:
        forwards: Images that went forward so far.
        backwards: Images that gradients went back to so far.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.forwards = 0
        self.backwards = 0
        # Its mode is the network's: a peer that finds it training would leave the network training.
        self.training = network.training

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``(N, C, H, W)`` images, ``(N, K)``."""
        logits: Tensor = self.network(images)
        count = len(images)
        self.forwards += count
        if logits.requires_grad:
            logits.register_hook(lambda _: self._count_backward(count))
        return logits

    def _count_backward(self, count: int) -> None:
        self.backwards += count
