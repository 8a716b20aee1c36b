"""Configs as plain values: reading them, laying one over another, and fractions in them."""

import re
from pathlib import Path
from typing import Any

import yaml

FRACTION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*")


def with_fractions(value: Any) -> Any:
    """Return loaded YAML with every ``8/255`` as the number that it stands for."""
    if isinstance(value, dict):
        return {key: with_fractions(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_fractions(item) for item in value]
    # One over 0 stays text: the setting's own type then refuses it by name.
    if isinstance(value, str) and (match := FRACTION.fullmatch(value)) and float(match[2]):
        return float(match[1]) / float(match[2])
    return value


def words_with_fractions(words: list[str]) -> list[str]:
    """Return the words of a command line with every ``--KEY=8/255`` as the number that it stands for.

    Example:
        >>> words_with_fractions(["--model.init_args.attack.init_args.eps=8/256", "--run=1/2/3"])
        ['--model.init_args.attack.init_args.eps=0.03125', '--run=1/2/3']
    """
    named = [word.partition("=") for word in words]
    return [f"{key}{sign}{with_fractions(value)}" if sign else key for key, sign, value in named]


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a YAML file's mapping.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no YAML, or holds something else than a mapping.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no config {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise ValueError(f"{path} must hold a mapping (model:, data:, trainer:), and holds {found}")
    return content


def read_overlay(path: Path) -> dict[str, Any]:
    """Return an overlay; where it names another one under ``over``, relative to itself, laid over that one.

    Raises:
        FileNotFoundError: If it is missing, or one that is named under ``over``.
        ValueError: If one is no mapping, ``over`` names no file, or the overlays name each other in a circle.
    """
    return _read_overlay(path, ())


def _read_overlay(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """Return an overlay that those above it name, the nearest one last."""
    content = read_yaml(path)
    below = content.pop("over", None)
    if below is None:
        return content
    if not isinstance(below, str):
        raise ValueError(f"{path}: over must be the path of one overlay, relative to this file, got {below!r}")
    named, chain = path.parent / below, (*above, path)
    if not named.is_file():
        raise FileNotFoundError(f"{path}: over names {below}, and there is no file {named}")
    if named.resolve() in [other.resolve() for other in chain]:
        circle = " -> ".join(str(other) for other in (*chain, named))
        raise ValueError(f"overlays lie over each other in a circle ({circle}): take the line over: out of one of them")
    return laid_over(_read_overlay(named, chain), content)


def laid_over(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with an overlay on it: mappings merge, all else is replaced, ``attacks`` as a whole.

    A key that ends in ``+`` appends to a list. Another ``class_path`` drops the settings of the old one.
    """
    merged = dict(base)
    if "class_path" in overlay and overlay["class_path"] != base.get("class_path"):
        merged.pop("init_args", None)
        merged.pop("dict_kwargs", None)
    for key, value in overlay.items():
        if key.endswith("+"):
            merged[key[:-1]] = list(merged.get(key[:-1]) or []) + list(value)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict) and key != "attacks":
            merged[key] = laid_over(merged[key], value)
        else:
            merged[key] = value
    return merged
