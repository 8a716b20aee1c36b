"""Classes that the command line names, and attacks that are aimed at them."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any


def class_number(given: str, names: Sequence[str], option: str) -> int:
    """Return the number of a class that is given by name or number.

    Raises:
        ValueError: If there is none, or several have the name; the message gives the nearest names.

    Example:
        >>> class_number("cat", ["airplane", "cat"], "--source"), class_number("0", ["airplane", "cat"], "--source")
        (1, 0)
    """
    if names.count(given) == 1:
        return names.index(given)
    if names.count(given) > 1:
        numbers = [str(number) for number, name in enumerate(names) if name == given]
        raise ValueError(f"{option} {given}: classes {', '.join(numbers)} have this name; give the number")
    if given.isdecimal() and int(given) < len(names):
        return int(given)
    near = get_close_matches(given, names, n=3, cutoff=0.3) or list(names[:3])
    raise ValueError(
        f"{option} {given}: no class has this name, or number (0 ... {len(names) - 1}); "
        f"the nearest names are {', '.join(near)}"
    )


def aim_at(config: dict[str, Any], targets: Sequence[str]) -> dict[str, str]:
    """Aim every attack of a config at a class; for several classes, make one attack for each, named ``ATTACK@CLASS``.

    Args:
        config: Has ``model.init_args.attacks``; changed in place.
        targets: The classes, as given.

    Returns:
        The class that each attack is aimed at, as given; empty without classes, which changes nothing.

    Raises:
        ValueError: If a class is named twice, or there is no attack.

    Example:
        >>> config = {"model": {"init_args": {"attacks": {"pgd": {"class_path": "PGD"}}}}}
        >>> aim_at(config, ["cat", "dog"])
        {'pgd@cat': 'cat', 'pgd@dog': 'dog'}
        >>> list(config["model"]["init_args"]["attacks"])
        ['pgd@cat', 'pgd@dog']
    """
    if not targets:
        return {}
    if len(set(targets)) < len(targets):
        raise ValueError(f"--target names a class twice: {' '.join(targets)}")
    settings = config.setdefault("model", {}).setdefault("init_args", {})
    attacks = settings.get("attacks") or {}
    if not attacks:
        raise ValueError("--target needs attacks, and the config names none: lay an overlay with attacks over it")
    settings.pop("targeting", None)
    if len(targets) == 1:
        return dict.fromkeys(attacks, targets[0])
    # Log keys are parted by slashes.
    aimed = {
        f"{name}@{target.replace('/', '_')}": (attack, target) for name, attack in attacks.items() for target in targets
    }
    settings["attacks"] = {name: attack for name, (attack, _) in aimed.items()}
    return {name: target for name, (_, target) in aimed.items()}
