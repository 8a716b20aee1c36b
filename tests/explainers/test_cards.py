"""Each explainer has a card in docs/explainers.md, with its settings and their defaults."""

import inspect
import re
from pathlib import Path

import pytest

from advscope import explainers

PAGE = (Path(__file__).parents[2] / "docs" / "explainers.md").read_text()
NAMES = [name for name in explainers.__all__ if inspect.isclass(getattr(explainers, name)) and name != "Explainer"]


@pytest.mark.parametrize("name", NAMES)
def test_the_card_has_the_settings_and_their_defaults(name):
    card = re.search(rf"^### `{name}`\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    assert card, f"docs/explainers.md has no card of {name}"
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) \|", card[1], re.M))
    parameters = inspect.signature(getattr(explainers, name)).parameters.values()
    settings = {setting.name: setting.default for setting in parameters if setting.default is not setting.empty}
    # An explainer without an __init__ of its own has Python's (*args, **kwargs), which have no default.
    written = {key: f'"{value}"' if isinstance(value, str) else f"{value!r}".replace("1e-06", "1e-6")
               for key, value in settings.items()}  # fmt: skip
    assert rows == written


def test_every_explainer_has_a_card_and_no_card_is_of_another():
    assert re.findall(r"^### `(\w+)`$", PAGE, re.M) == ["CAM", "GradCAM", "GradCAMPlusPlus", "InputGradient",
                                                        "SmoothGrad", "IntegratedGradients"]  # fmt: skip
    assert sorted(re.findall(r"^### `(\w+)`$", PAGE, re.M)) == sorted(NAMES)
