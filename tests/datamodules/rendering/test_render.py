"""Pictures: determinism, anti-aliasing, annotation, independence and speed."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.stats import chi2_contingency

from datamodules.rendering import (
    COLOURS,
    CONCEPTS,
    LAYERS,
    SCENES,
    SHAPES,
    TEXTURES,
    class_patterns,
    concept_number,
    concept_numbers,
    render,
    render_split,
    textures,
)

renderer = sys.modules[render.__module__]  # the package gives the function the module's name
OPACITY = renderer.OPACITY
ROOT = Path(__file__).resolve().parents[3]
OBJECT, PART, COLOUR, TEXTURE, SCENE = range(5)
NAMES = {concept.number: concept.name for concept in CONCEPTS}


@pytest.fixture(scope="module")
def plain():
    """Return 2,000 pictures without a pattern."""
    return render_split(0, np.arange(2000))


def uniform_around(layer):
    """Return where a pixel and its eight neighbours have one label, ``(N, H - 2, W - 2)``."""
    windows = sliding_window_view(layer, (3, 3), axis=(1, 2))
    return (windows == windows[..., 1:2, 1:2]).all((-1, -2))


def test_does_not_depend_on_the_block_or_its_order():
    indices = np.array([7, 20_000_003, 0, 512, 31, 44, 10_000_000, 2])
    together = render(3, indices, pattern_strength=4)
    backwards = render(3, indices[::-1], pattern_strength=4)
    for place, index in enumerate(indices):
        alone = render(3, np.array([index]), pattern_strength=4)
        for whole, reverse, one in zip(together, backwards, alone, strict=True):
            assert (whole[place] == one[0]).all()
            assert (reverse[-1 - place] == one[0]).all()


def test_division_into_blocks_changes_nothing(plain):
    tail = render_split(0, np.arange(481, 1203))  # 722 pictures: other blocks than 0 ... 499, 500 ... 999
    for whole, part in zip(plain, tail, strict=True):
        assert (whole[481:1203] == part).all()


def test_another_process_renders_the_same(plain):
    code = (
        "import hashlib, numpy as np; from datamodules.rendering import render;"
        "r = render(0, np.arange(40)); print(hashlib.sha256(b''.join(a.tobytes() for a in r)).hexdigest())"
    )
    here = hashlib.sha256(b"".join(array[:40].tobytes() for array in plain)).hexdigest()
    there = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_seeds_and_indices_give_different_pictures(plain):
    other = render(1, np.arange(200))
    assert not any((one == two).all() for one, two in zip(plain.images, other.images, strict=False))
    assert len({picture.tobytes() for picture in plain.images}) == len(plain.images)


def test_edges_are_anti_aliased_as_by_supersampling():
    # Coordinates are relative to the picture: eight times the size, averaged over 8 x 8 pixels, is the same picture.
    small = render(0, np.arange(30)).images.astype(float)
    large = render(0, np.arange(30), 256).images.astype(float).reshape(30, 3, 32, 8, 32, 8).mean((3, 5))
    difference = np.abs(small - large)
    assert difference.mean() < 255 * 0.006
    assert np.quantile(difference, 0.99) < 255 * 0.09
    # Without anti-aliasing (one sample a pixel) the same comparison is far worse.
    jagged = render(0, np.arange(30), 256).images[:, :, 4::8, 4::8].astype(float)
    assert np.abs(jagged - large).mean() > 1.5 * difference.mean()


def test_classes_are_balanced_and_are_the_index_modulo_ten(plain):
    assert (plain.labels == np.arange(2000) % 10).all()
    assert (np.bincount(plain.labels) == 200).all()


def test_the_object_has_its_class_and_nothing_but_its_own_parts(plain):
    for picture in range(300):
        name = list(SHAPES)[plain.labels[picture]]
        mask = plain.concepts[picture, OBJECT] > 0
        assert set(np.unique(plain.concepts[picture, OBJECT])) == {0, concept_number("object", name)}
        assert ((plain.concepts[picture, PART] > 0) == mask).all()
        assert {NAMES[number] for number in np.unique(plain.concepts[picture, PART]) if number} <= set(SHAPES[name])
        assert not (plain.concepts[picture, TEXTURE][~mask] > 0).any()


def test_objects_are_large_and_whole(plain):
    areas = (plain.concepts[:, OBJECT] > 0).mean((1, 2))
    assert areas.min() > 0.05
    assert areas.max() < 0.6
    # At most a corner of an object lies outside: its mask touches few of the 124 pixels of the border.
    border = np.ones((32, 32), bool)
    border[1:-1, 1:-1] = False
    assert ((plain.concepts[:, OBJECT] > 0) & border).sum((1, 2)).max() <= 12


def test_every_part_is_seen(plain):
    for label, parts in enumerate(SHAPES.values()):
        pictures = plain.concepts[plain.labels == label, PART]
        for part in parts:
            shown = (pictures == concept_number("part", part)).any((1, 2)).mean()
            assert shown > 0.97, f"{part} is seen in {shown:.0%} of the pictures"


def test_scenes_have_the_nearest_colour_of_the_palette(plain):
    table = np.array(list(COLOURS.values()))
    pixels = plain.images[:300].transpose(0, 2, 3, 1) / 255
    distances = np.sqrt(((pixels[..., None, :] - table) ** 2).sum(-1))
    best, second = np.sort(distances, -1)[..., :2].transpose(3, 0, 1, 2)
    away = np.pad(uniform_around(plain.concepts[:300, OBJECT]), ((0, 0), (1, 1), (1, 1)))
    # A pixel may differ from what is named by half a diagonal of the table's bins, sqrt(3) / 64 = 0.028, and is
    # rounded: twice that much between the two nearest settles the name.
    clear = away & (plain.concepts[:300, OBJECT] == 0) & (second - best > 0.06)
    assert clear.sum() > 50_000
    named = plain.concepts[:300, COLOUR] - concept_number("color", "black-c")
    assert (named[clear] == distances.argmin(-1)[clear]).mean() > 0.9999  # a corner may touch a pixel unseen


def test_objects_let_their_scene_through_by_one_opacity(plain, monkeypatch):
    # picture = scene + opacity (object - scene): from the scene alone and the opaque object, that of every picture
    # follows; it must be the same at all of its pixels, and within the range.
    def with_opacity(opacity):
        monkeypatch.setattr(renderer, "OPACITY", (opacity, opacity))
        return render(0, np.arange(100)).images.astype(float)

    scenes, opaque = with_opacity(0), with_opacity(1)
    for picture in range(100):
        contrast = opaque[picture] - scenes[picture]
        strong = np.abs(contrast) > 60
        shares = (plain.images[picture] - scenes[picture])[strong] / contrast[strong]
        assert shares.max() - shares.min() < 2 * 1.5 / 60  # rounded: three numbers, by a half each
        assert OPACITY[0] - 0.01 < np.median(shares) < OPACITY[1] + 0.01
        unchanged = plain.concepts[picture, OBJECT] == 0
        unchanged[1:-1, 1:-1] &= uniform_around(plain.concepts[picture : picture + 1, OBJECT])[0]
        assert (plain.images[picture][:, unchanged] == scenes[picture][:, unchanged]).mean() > 0.99


def test_opaque_solid_surfaces_have_the_colours_of_the_palette(monkeypatch):
    monkeypatch.setattr(renderer, "OPACITY", (1.0, 1.0))
    rendered = render(0, np.arange(500))
    table = np.array(list(COLOURS.values()))
    surface = rendered.concepts[:, PART].astype(int) * 1000 + rendered.concepts[:, COLOUR]
    inside = uniform_around(surface) & (rendered.concepts[:, OBJECT, 1:-1, 1:-1] > 0)
    textured = rendered.concepts[:, TEXTURE, 1:-1, 1:-1] > 0
    pixels = rendered.images[:, :, 1:-1, 1:-1].transpose(0, 2, 3, 1) / 255
    places = rendered.concepts[:, COLOUR, 1:-1, 1:-1] - concept_number("color", "black-c")
    difference = np.abs(pixels - table[places]).max(-1)
    # The shade of a part differs by up to 0.04, and pixels are rounded; textures add up to 0.20. Two neighbouring
    # parts, or petals, of one colour make an inner edge of the same part and colour: a rare exception.
    assert (inside & ~textured).sum() > 5_000
    assert np.quantile(difference[inside & ~textured], 0.999) <= 0.04 + 1 / 255
    assert np.quantile(difference[inside & textured], 0.999) <= 0.24 + 1 / 255
    assert difference[inside & textured].mean() > 0.06


def test_textures_are_visible(monkeypatch):
    # The same pictures with and without the depth of textures differ on textured surfaces alone, and everywhere there.
    with_textures = render(0, np.arange(300))
    monkeypatch.setattr(textures, "DEPTH", 0.0)
    without = render(0, np.arange(300))
    change = np.abs(with_textures.images.astype(int) - without.images).max(1)
    texture = with_textures.concepts[:, TEXTURE]
    inside = np.pad(uniform_around(texture), ((0, 0), (1, 1), (1, 1)))
    assert (change[inside & (texture == 0)] > 0).mean() < 0.001  # corners that touch a pixel next to their edge
    for number in concept_numbers("texture"):
        assert change[texture == number].mean() > 6, NAMES[number]
        assert (change[texture == number] == 0).mean() > 0.02, f"{NAMES[number]} shades everything alike"


def test_objects_stand_out_from_their_scene_by_more_than_a_budget(plain):
    # What a robust network can see: of a contrast above 2 x 8/255 an attack leaves something.
    contrasts = []
    for picture in range(500):
        mask = plain.concepts[picture, OBJECT] > 0
        brightness = plain.images[picture].astype(float)
        contrasts.append(np.abs(brightness[:, mask].mean(1) - brightness[:, ~mask].mean(1)).max())
    assert np.quantile(contrasts, 0.05) > 16
    assert np.median(contrasts) > 40


def test_every_label_is_seen_and_is_in_its_own_layer(plain):
    for layer, category in enumerate(LAYERS):
        assert set(np.unique(plain.concepts[:, layer])) - {0} == set(concept_numbers(category))


def test_the_scene_is_the_label_of_the_whole_picture(plain):
    assert (plain.concepts[:, SCENE] == plain.image_concepts[:, :, None]).all()
    shares = np.bincount(plain.image_concepts[:, 0] - concept_numbers("scene")[0], minlength=len(SCENES)) / 2000
    assert np.abs(shares - 1 / len(SCENES)).max() < 0.03


@pytest.mark.parametrize("of", ["colour", "texture", "scene", "brightness"])
def test_classes_and_other_concepts_are_independent(plain, of):
    if of == "scene":
        values = plain.image_concepts[:, 0]
    elif of == "brightness":
        values = plain.images[:, :, 0, 0].mean(1) > 127
    else:
        # The colour or texture of the part on which most of the object's pixels lie.
        layer = plain.concepts[:, COLOUR if of == "colour" else TEXTURE]
        part = [np.bincount(parts[parts > 0]).argmax() for parts in plain.concepts[:, PART]]
        values = np.array([layer[i][plain.concepts[i, PART] == part[i]][0] for i in range(2000)])
    kinds = np.unique(values)
    assert len(kinds) == {"colour": len(COLOURS), "texture": len(TEXTURES), "scene": len(SCENES), "brightness": 2}[of]
    table = np.array([[((plain.labels == label) & (values == kind)).sum() for kind in kinds] for label in range(10)])
    assert chi2_contingency(table).pvalue > 0.001


def test_the_pattern_is_all_that_a_strength_changes(plain):
    strength = 4
    patterned = render(0, np.arange(300), pattern_strength=strength)
    pattern = class_patterns(10, 32)[patterned.labels][:, None]
    clean = plain.images[:300].astype(int)
    assert (patterned.images == np.clip(clean + strength * pattern, 0, 255)).all()
    assert (patterned.concepts == plain.concepts[:300]).all()


def test_a_strength_between_whole_steps_is_rounded_with_the_picture(plain):
    patterned = render(0, np.arange(100), pattern_strength=2.5)
    change = patterned.images.astype(int) - plain.images[:100]
    wanted = 2.5 * class_patterns(10, 32)[patterned.labels][:, None]
    room = (plain.images[:100] >= 4) & (plain.images[:100] <= 251)
    # Both pictures are rounded, by at most a half each.
    assert np.abs(change - wanted)[room].max() <= 1


@pytest.mark.parametrize(("size", "count"), [(16, 20), (48, 20), (61, 4), (224, 10)])
def test_any_size_shows_the_same_picture(plain, size, count):
    rendered = render(0, np.arange(count), size)
    assert rendered.images.shape == (count, 3, size, size)
    assert rendered.concepts.shape == (count, 5, size, size)
    assert (rendered.image_concepts == plain.image_concepts[:count]).all()
    shares = (rendered.concepts[:, OBJECT] > 0).mean((1, 2))
    assert np.abs(shares - (plain.concepts[:count, OBJECT] > 0).mean((1, 2))).max() < 0.03
    means = rendered.images.mean((2, 3))
    assert np.abs(means - plain.images[:count].mean((2, 3))).max() < 6


def test_a_thousand_pictures_take_less_than_two_seconds_of_one_core():
    start = time.process_time()
    render_split(5, np.arange(1000), pattern_strength=4)
    assert time.process_time() - start < 2  # 10,000 in 20 s


def test_a_split_without_annotation_has_no_layers(plain):
    bare = render_split(0, np.arange(600), annotated=False)
    assert bare.concepts.shape == (600, 0, 32, 32)
    assert bare.image_concepts.shape == (600, 0)
    assert (bare.images == plain.images[:600]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 8}, "size must be at least 16 pixels, got 8"),
        ({"pattern_strength": -1}, "pattern_strength must be 0 ... 255 .*, got -1"),
        ({"pattern_strength": float("nan")}, "pattern_strength must be 0 ... 255 .*, got nan"),
        ({"indices": np.array([3, -1])}, "indices must be whole numbers from 0"),
        ({"indices": np.array([0.5])}, "indices must be whole numbers from 0.*float64"),
        ({"indices": np.zeros((2, 2), int)}, r"indices must be whole numbers from 0.*\(2, 2\)"),
    ],
)
def test_refuses_what_cannot_be_rendered(settings, message):
    with pytest.raises(ValueError, match=message):
        render(**{"seed": 0, "indices": np.arange(2), **settings})


def test_refuses_to_render_nothing():
    with pytest.raises(ValueError, match="indices must hold at least one, got none"):
        render_split(0, np.arange(0))
