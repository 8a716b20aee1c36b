"""Tests of crops and scaling, against torchvision on PIL images."""

import math
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, RandomResizedCrop, Resize
from torchvision.transforms import functional as transform

from datamodules.image_preprocessing import Draws, central_crop, crop_box, draw, random_crop, read_rgb

RESAMPLINGS = [
    (Image.Resampling.BILINEAR, InterpolationMode.BILINEAR),
    (Image.Resampling.BICUBIC, InterpolationMode.BICUBIC),
]


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth gradient with noise."""
    noise = np.random.default_rng(seed).integers(0, 60, (height, width, 3))
    ramp = np.add.outer(np.linspace(0, 100, height), np.linspace(0, 90, width))[..., None]
    return Image.fromarray((noise + ramp).astype(np.uint8))


def draws_of(area: float, ratio: float, row: float, column: float, flip: float = 1.0) -> Draws:
    """The same numbers for each of ten attempts at one image."""
    return Draws(*(torch.full((1, 10), value) for value in (area, ratio, row, column)), torch.tensor([flip]))


@pytest.mark.parametrize(("resampling", "interpolation"), RESAMPLINGS)
@pytest.mark.parametrize("shape", [(300, 200), (200, 301), (97, 131), (64, 64), (57, 400)])
def test_evaluation_is_torchvisions(
    shape: tuple[int, int], resampling: Image.Resampling, interpolation: InterpolationMode
) -> None:
    image = picture(*shape)
    reference = Compose([Resize(64, interpolation, antialias=True), CenterCrop(56)])(image)

    pixels = central_crop(image, size=56, resize=64, resampling=resampling)

    np.testing.assert_array_equal(pixels, np.asarray(reference), strict=True)


@pytest.mark.parametrize(("resampling", "interpolation"), RESAMPLINGS)
@pytest.mark.parametrize("flip", [0.49, 0.5])
def test_training_is_torchvisions_for_the_same_box(
    flip: float, resampling: Image.Resampling, interpolation: InterpolationMode
) -> None:
    image = picture(131, 97)
    draws = draws_of(0.3, 0.8, 0.25, 0.75, flip)
    left, top, right, bottom = crop_box(131, 97, draws, 0, 0.08)
    reference = transform.resized_crop(image, top, left, bottom - top, right - left, [48, 48], interpolation)
    if flip < 0.5:
        reference = transform.hflip(reference)

    pixels = random_crop(image, draws, 0, size=48, min_area=0.08, resampling=resampling)

    np.testing.assert_array_equal(pixels, np.asarray(reference))


def test_box_by_hand() -> None:
    # 100x50, area 0.5 of [0, 1]: 2500 px; ratio drawn in the middle: 1; so 50x50. Row 0; column floor(0.5 * 51).
    assert crop_box(100, 50, draws_of(0.5, 0.5, 0.9, 0.5), 0, 0.0) == (25, 0, 75, 50)


@pytest.mark.parametrize("shape", [(400, 100), (100, 400), (100, 90)])
def test_falls_back_on_torchvisions_central_crop(shape: tuple[int, int]) -> None:
    # The whole area with ratio 3/4 fits none of these: ten attempts fail.
    width, height = shape
    left, top, right, bottom = crop_box(width, height, draws_of(1.0, 0.0, 0.0, 0.0), 0, 0.08)
    # Torchvision reaches its fallback with the same image, when nothing but the whole area is allowed.
    i, j, h, w = RandomResizedCrop.get_params(picture(width, height), scale=[4.0, 4.0], ratio=[3 / 4, 4 / 3])

    assert (left, top, right - left, bottom - top) == (j, i, w, h)


def test_boxes_are_distributed_like_torchvisions() -> None:
    width, height, count = 120, 90, 3000
    draws = draw(torch.arange(count), seed=0, epoch=0)
    ours = np.array([crop_box(width, height, draws, place, 0.08) for place in range(count)])
    ours = np.stack([ours[:, 1], ours[:, 0], ours[:, 3] - ours[:, 1], ours[:, 2] - ours[:, 0]], axis=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = picture(width, height)
        theirs = np.array([RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(count)])

    assert ours[:, 0].min() >= 0
    assert (ours[:, 0] + ours[:, 2]).max() <= height
    assert (ours[:, 1] + ours[:, 3]).max() <= width
    for ours_values, theirs_values in (
        *zip(ours.T, theirs.T, strict=True),
        (ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3]),
        (np.log(ours[:, 3] / ours[:, 2]), np.log(theirs[:, 3] / theirs[:, 2])),
    ):
        error = math.sqrt((ours_values.var() + theirs_values.var()) / count)
        assert abs(ours_values.mean() - theirs_values.mean()) < 4 * error
        assert abs(ours_values.std() / theirs_values.std() - 1) < 0.1


def test_draws_depend_on_seed_epoch_and_index_alone() -> None:
    together = draw(torch.tensor([5, 9, 2]), seed=1, epoch=3)
    alone = draw(torch.tensor([9]), seed=1, epoch=3)

    for numbers, single in zip(together, alone, strict=True):
        assert torch.equal(numbers[1:2], single)
    for other in (draw(torch.tensor([9]), seed=2, epoch=3), draw(torch.tensor([9]), seed=1, epoch=4)):
        assert not torch.equal(other.areas, alone.areas)
    values = torch.cat([numbers.flatten() for numbers in together])
    assert len(values.unique()) == len(values)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "1"])
def test_any_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "image.tiff"
    picture(9, 7).convert(mode).save(path)

    image = read_rgb(str(path))

    assert (image.mode, image.size) == ("RGB", (9, 7))


@pytest.mark.parametrize("kind", ["cut", "empty", "text"])
def test_a_broken_image_is_one_line_that_names_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "broken.jpg"
    picture(60, 60).save(path)
    path.write_bytes({"cut": path.read_bytes()[:900], "empty": b"", "text": b"not an image"}[kind])

    with pytest.raises(ValueError, match=r"broken.jpg is no readable image \(.*\): replace or remove it") as raised:
        read_rgb(str(path))

    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_file_that_is_cut_off_anywhere_is_found(kind: str, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another library may have allowed such files for the whole process.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", allowed)
    stream = BytesIO()
    picture(40, 40).save(stream, kind)
    whole = stream.getvalue()
    pixels = np.asarray(Image.open(BytesIO(whole)))

    shown_from = len(whole)
    for length in range(len(whole), -1, -1):
        try:
            found = read_rgb(BytesIO(whole[:length]), "here")
        except ValueError as error:
            assert str(error).startswith("here is no readable image (")  # noqa: PT017
        else:
            shown_from = length
            np.testing.assert_array_equal(np.asarray(found), pixels)
    # What may be missing is a PNG's last chunk and checksums, which show nothing.
    assert shown_from >= len(whole) - (24 if kind == "PNG" else 0)
    assert allowed == ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_jpeg_whose_rest_was_never_written_is_found() -> None:
    stream = BytesIO()
    picture(90, 70).save(stream, "JPEG")
    whole = stream.getvalue()

    for share in (0.3, 0.5, 0.8):
        begin = whole[: int(len(whole) * share)]
        with pytest.raises(ValueError, match=r"^here is no readable image"):
            read_rgb(BytesIO(begin + b"\0" * (len(whole) - len(begin))), "here")


@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_upper_eight(tmp_path: Path, format_name: str) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (5, 6), dtype=np.uint16)
    path = tmp_path / "image"
    Image.fromarray(values).save(path, format_name)

    np.testing.assert_array_equal(np.asarray(read_rgb(str(path))), np.repeat((values // 256)[..., None], 3, axis=2))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_numbers_without_a_known_white_are_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "image.tiff"
    picture(5, 4).convert("L").convert(mode).save(path)

    with pytest.raises(ValueError, match=r"image.tiff is no readable image \(pixels are 32-bit numbers"):
        read_rgb(str(path))


def test_transparency_cmyk_and_exif_are_taken_as_torchvisions_folders_take_them(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to show it
    folder = tmp_path / "class"
    folder.mkdir()
    picture(12, 7).save(folder / "turned.jpg", exif=exif)
    picture(12, 7).convert("CMYK").save(folder / "cmyk.jpg")
    see_through = picture(12, 7).convert("RGBA")
    see_through.putalpha(3)
    see_through.save(folder / "alpha.png")
    picture(12, 7).convert("P").save(folder / "palette.png", transparency=5)
    reference = ImageFolder(str(tmp_path))

    assert len(reference) == 4
    for (path, _), (image, _) in zip(reference.samples, reference, strict=True):
        np.testing.assert_array_equal(np.asarray(read_rgb(path)), np.asarray(image))
        assert read_rgb(path).size == (12, 7)


def test_an_image_of_one_pixel_is_scaled_up_as_torchvision_does_it() -> None:
    image = Image.new("RGB", (1, 1), (10, 200, 30))
    reference = Compose([Resize(64), CenterCrop(56)])(image)

    pixels = central_crop(image, size=56, resize=64, resampling=Image.Resampling.BILINEAR)
    trained = random_crop(
        image, draw(torch.tensor([3]), seed=0, epoch=0), 0, size=56, min_area=0.08, resampling=Image.Resampling.BILINEAR
    )

    np.testing.assert_array_equal(pixels, np.asarray(reference))
    np.testing.assert_array_equal(trained, np.asarray(reference))
