"""The images on which units are most active: those of a sort, whatever the batches and their order."""

import torch

from advscope.measures.dissection.top_activations import TopActivations


def test_are_those_of_a_sort_in_any_order() -> None:
    generator = torch.Generator().manual_seed(0)
    maxima = torch.randint(0, 12, (50, 6), generator=generator).float()  # with ties
    indices = torch.randperm(1000, generator=generator)[:50]
    wanted = [
        sorted(range(50), key=lambda image: (-float(maxima[image, unit]), int(indices[image])))[:4] for unit in range(6)
    ]
    for order, size in ((torch.arange(50), 50), (torch.randperm(50, generator=generator), 7)):
        top = TopActivations(6, 4)
        for rows in order.split(size):
            top.count(maxima[rows], indices[rows])
        top.add_up()
        assert top.indices.tolist() == [indices[line].tolist() for line in wanted]
        assert top.values.tolist() == [maxima[line, unit].tolist() for unit, line in enumerate(wanted)]


def test_fewer_images_than_asked_for_leave_places_empty() -> None:
    top = TopActivations(2, 3)
    top.count(torch.tensor([[1.0, -5.0]]), torch.tensor([7]))
    assert top.indices.tolist() == [[7, -1, -1]] * 2
    assert top.values[1].tolist() == [-5, -torch.inf, -torch.inf]
