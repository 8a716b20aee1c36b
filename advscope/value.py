"""What is settings and nothing else: equal to any other of the same class and settings, and written as JSON."""

import inspect
import json
from typing import Any


class Value:
    """Settings only: an attack, a region, an explainer.

    A subclass keeps each argument of its ``__init__`` in an attribute of the same name.
    """

    def settings(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them, the class among them, in the order of ``__init__``."""
        parameters = inspect.signature(type(self)).parameters.items()
        names = [name for name, kind in parameters if kind.kind is not kind.VAR_KEYWORD]
        return {"class": type(self).__name__} | {name: _plain(getattr(self, name)) for name in names}

    def __repr__(self) -> str:
        """Return the class and its settings."""
        settings = self.settings()
        name = settings.pop("class")
        return f"{name}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"

    def __eq__(self, other: object) -> bool:
        """Whether the other is of the same class and settings."""
        return type(self) is type(other) and isinstance(other, Value) and self.settings() == other.settings()

    def __hash__(self) -> int:
        """Return a hash of class and settings."""
        return hash((type(self), json.dumps(self.settings(), sort_keys=True)))


def _plain(setting: Any) -> Any:
    """Return a setting as JSON can hold it: values within by their settings, tuples as lists, functions by name."""
    if isinstance(setting, tuple | list):
        return [_plain(item) for item in setting]
    if callable(getattr(setting, "settings", None)):
        return setting.settings()
    return f"{setting.__module__}.{setting.__qualname__}" if inspect.isfunction(setting) else setting
