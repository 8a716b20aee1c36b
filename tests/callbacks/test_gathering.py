"""What an evaluation keeps for figures."""

import torch

from callbacks.gathering import chosen_examples


def test_examples_are_the_first_of_the_split_for_any_number_of_processes() -> None:
    """Also where the split's order is not that of the indices, as of CIFAR10's test_indices."""
    order = torch.tensor([90, 3, 80, 1, 70, 2])
    for processes in (1, 2, 3):
        sources = [{"pgd": {"indices": order[rank::processes][:2]}} for rank in range(processes)]
        assert chosen_examples(sources, order, 2)["pgd/indices"].tolist() == [3, 90]
