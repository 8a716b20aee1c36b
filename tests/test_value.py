"""What is settings and nothing else."""

import json

from advscope.value import Value


class Inner(Value):
    """A value with one setting."""

    def __init__(self, size=1):
        self.size = size


class Other(Inner):
    """Another class with the same setting."""


class Outer(Value):
    """A value with values, a sequence and a function among its settings."""

    def __init__(self, inner, parts=(), rule=None):
        self.inner, self.parts, self.rule = inner, parts, rule


def halve(value):
    return value / 2


def test_settings_are_json_and_name_the_class():
    outer = Outer(Inner(3), (Inner(), 2), halve)
    assert json.loads(json.dumps(outer.settings())) == {
        "class": "Outer", "inner": {"class": "Inner", "size": 3}, "parts": [{"class": "Inner", "size": 1}, 2],
        "rule": f"{halve.__module__}.halve",
    }  # fmt: skip


def test_equal_is_of_the_same_class_and_settings():
    assert Inner(2) == Inner(2) != Inner(3)
    assert Inner(2) != Other(2)
    assert Outer(Inner(2)) == Outer(Inner(2)) != Outer(Other(2))
    assert len({Inner(2), Inner(2), Other(2), Outer(Inner(2)), Outer(Inner(2), ())}) == 3
    assert repr(Inner(2)) == "Inner(size=2)"
