"""The table of labels."""

import pytest

from datamodules.rendering import COLOURS, CONCEPTS, LAYERS, SCENES, SHAPES, TEXTURES, concept_number, concept_numbers


def test_numbers_run_from_one_and_names_do_not_repeat_in_a_category():
    assert [concept.number for concept in CONCEPTS] == list(range(1, len(CONCEPTS) + 1))
    assert len({(concept.category, concept.name) for concept in CONCEPTS}) == len(CONCEPTS)


def test_there_is_what_the_card_promises():
    counts = {layer: len(concept_numbers(layer)) for layer in LAYERS}
    assert counts["object"] == len(SHAPES) == 10
    assert counts["part"] == sum(len(parts) for parts in SHAPES.values())
    assert counts["color"] == len(COLOURS) == 11
    assert counts["texture"] == len(TEXTURES) - 1 >= 5  # a solid surface is no texture
    assert counts["scene"] == len(SCENES) >= 6
    assert all(len(parts) >= 2 for parts in SHAPES.values())


def test_colours_are_those_of_broden():
    broden = ["black", "blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow"]
    assert [concept.name for concept in CONCEPTS if concept.category == "color"] == [f"{name}-c" for name in broden]


def test_a_label_is_found_by_name():
    # Ten objects come first: the first part is number 11.
    assert concept_number("object", "arrow") == 1
    assert concept_number("part", "shaft") == 11


def test_an_unknown_label_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match="there is no object 'dragon'; there are arrow, car"):
        concept_number("object", "dragon")
    with pytest.raises(ValueError, match="there is no material 'wood'; there are object, part"):
        concept_number("material", "wood")
