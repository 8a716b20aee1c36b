"""The figures of one evaluation, as a file: ``RUN/results/NAME/summary.json``."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advscope.intervals import Estimate
from advscope.tables.atomic_file import write_atomically

FORMAT = 1
"""Number of the layout of ``summary.json``; a reader refuses any other."""

DIGITS = 10
"""Significant digits of a written number."""

REMEDY = "make it anew with `python evaluate.py --run RUN`"

_PARTS = ("run", "data", "settings", "versions", "passes", "counts", "figures")


def write_summary(path: str | Path, summary: Mapping[str, Any]) -> None:
    """Write the figures of one evaluation: the same bytes for the same content, whatever the order of its keys.

    Args:
        path: File to write; an old one is replaced in one step.
        summary: ``format`` (added where missing), ``name``, and the mappings ``run`` (with ``name``), ``data`` (with
            ``name``, ``split``, ``n`` and ``sha256``), ``settings``, ``versions``, ``passes``, ``counts`` (a mapping
            per attack) and ``figures``: an :class:`~advscope.intervals.Estimate`, or a mapping of its fields, for each
            log key. Numbers are rounded to 10 significant digits; nan becomes null.

    Raises:
        ValueError: If a part is missing or holds what JSON cannot; nothing is written then.
    """
    content = plain({"format": FORMAT} | dict(summary))
    _check(content, path)
    text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def read_summary(path: str | Path) -> dict[str, Any]:
    """Read the figures of one evaluation.

    Args:
        path: A file that :func:`write_summary` wrote.

    Returns:
        What was written; in ``figures``, each a mapping with ``value``, ``low``, ``high``, ``n`` and ``undefined``,
        null is nan again (:func:`estimate` makes an :class:`~advscope.intervals.Estimate` of one).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or of another format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; {REMEDY}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no valid JSON ({error}); {REMEDY}") from None
    _check(content, path)
    content["figures"] = {key: estimate(fields)._asdict() for key, fields in content["figures"].items()}
    return content  # type: ignore[no-any-return]  # _check has seen that it is a dict


def plain(value: Any) -> Any:
    """Return a value in JSON's own types: numbers rounded to 10 significant digits, nan as None.

    Named tuples become mappings, other tuples lists, paths strings, array and tensor scalars numbers; an infinity
    becomes the string ``"inf"`` or ``"-inf"``, as JSON has no word for it.

    Raises:
        ValueError: If there is no such form.

    Example:
        >>> plain({"third": 1 / 3, "undefined": float("nan"), "cells": (4, 4)})
        {'third': 0.3333333333, 'undefined': None, 'cells': [4, 4]}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return float(f"{value:.{DIGITS}g}")
        return None if math.isnan(value) else str(value)
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if callable(getattr(value, "item", None)) and math.prod(getattr(value, "shape", ())) == 1:
        return plain(value.item())
    raise ValueError(f"a summary holds numbers, strings, lists and mappings, got {type(value).__name__}; convert it")


def estimate(fields: Mapping[str, Any] | Estimate) -> Estimate:
    """Return a figure from its fields in a summary, in which None and nan both mean undefined.

    Example:
        >>> estimate({"value": 0.5, "low": 0.25, "high": None, "n": 4})
        Estimate(value=0.5, low=0.25, high=nan, n=4, undefined=0)
    """
    if isinstance(fields, Estimate):
        return fields
    value, low, high = (math.nan if fields[name] is None else float(fields[name]) for name in ("value", "low", "high"))
    return Estimate(value, low, high, fields["n"], fields.get("undefined", 0))


def _check(content: Any, path: str | Path) -> None:
    """Refuse what is no summary, by one line that names the file and the part."""

    def refuse(problem: str) -> ValueError:
        return ValueError(f"{path} {problem}; {REMEDY}")

    if not isinstance(content, dict):
        raise refuse(f"holds a {type(content).__name__} and not a mapping")
    if content.get("format") != FORMAT:
        raise refuse(f"has format {content.get('format')!r}, and this advscope reads {FORMAT}")
    if not isinstance(content.get("name"), str):
        raise refuse("has no 'name'")
    for part in _PARTS:
        if not isinstance(content.get(part), dict):
            raise refuse(f"has no mapping {part!r}")
    for part, keys in {"run": ("name",), "data": ("name", "split", "n", "sha256")}.items():
        for key in keys:
            if content[part].get(key) is None:
                raise refuse(f"has no {part}/{key}")
    for key, fields in content["figures"].items():
        if not isinstance(fields, dict) or not {"value", "low", "high", "n"} <= fields.keys():
            raise refuse(f"has a figure {key!r} without value, low, high and n")
        if not isinstance(fields["n"], int):
            raise refuse(f"has a figure {key!r} whose n is {fields['n']!r} and not a whole number")
        for name in ("value", "low", "high"):
            if isinstance(fields[name], bool) or not (
                fields[name] is None or isinstance(fields[name], int | float) or fields[name] in ("inf", "-inf")
            ):
                raise refuse(f"has a figure {key!r} whose {name} is {fields[name]!r} and not a number")
