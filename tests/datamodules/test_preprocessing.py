"""Tests of the settings of preprocessing: one's own, the network's, the usual ones."""

from types import SimpleNamespace

import pytest

from datamodules.preprocessing import choose


def network(size: int = 299, resize: int = 320, interpolation: str = "bicubic") -> SimpleNamespace:
    return SimpleNamespace(preprocessing=SimpleNamespace(size=size, resize=resize, interpolation=interpolation))


@pytest.mark.parametrize(
    ("given", "of", "expected"),
    [
        ((None, None, None), None, (224, 256, "bilinear")),
        ((None, None, None), SimpleNamespace(), (224, 256, "bilinear")),
        ((None, None, None), network(), (299, 320, "bicubic")),
        ((None, 400, None), network(), (299, 400, "bicubic")),
        ((None, None, "bilinear"), network(), (299, 320, "bilinear")),
        ((299, None, None), network(), (299, 342, "bilinear")),
        ((64, 72, "bicubic"), network(), (64, 72, "bicubic")),
        ((None, 300, None), None, (224, 300, "bilinear")),
    ],
)
def test_what_is_given_wins_and_null_is_the_networks_own(given, of, expected) -> None:
    assert choose(*given, 0.08, of) == (*expected, 0.08)


def test_rejects_what_does_not_fit_the_networks_own() -> None:
    with pytest.raises(ValueError, match=r"size must be in 1 ... resize \(250\), got 299 \(some of these are the netw"):
        choose(None, 250, None, 0.08, network())
    with pytest.raises(ValueError, match=r"bilinear or bicubic, got lanczos .*network's own"):
        choose(None, None, None, 0.08, network(interpolation="lanczos"))
    with pytest.raises(ValueError, match=r"resize \(32\), got 64$"):
        choose(64, 32, None, 0.08)
