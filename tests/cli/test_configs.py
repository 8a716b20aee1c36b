"""Configs are read and laid over each other, and what is wrong with one is said in one line that names it."""

import re

import pytest

from cli import one_line_errors, read_overlay


def write(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_an_overlay_lies_over_the_one_that_it_names(tmp_path):
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", base="a: {x: 1, y: 2}\nlist: [1]\n", middle="over: base.yaml\na: {y: 3}\n")
    write(tmp_path, top="over: below/middle.yaml\nlist+: [2]\n")
    assert read_overlay(tmp_path / "top.yaml") == {"a": {"x": 1, "y": 3}, "list": [1, 2]}


def test_two_overlays_may_lie_over_the_same_one(tmp_path):
    write(tmp_path, base="a: 1\n", one="over: base.yaml\nb: 1\n", two="over: ./one.yaml\nc: 1\n")
    assert read_overlay(tmp_path / "two.yaml") == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"top": "over: top.yaml"}, r"circle \(\S+top.yaml -> \S+top.yaml\): take the line over: out of one"),
        ({"top": "over: ./a.yaml", "a": "over: top.yaml"}, r"circle \(\S+top.yaml -> \S+a.yaml -> \S+top.yaml\)"),
        ({"top": "over: gone.yaml"}, r"top.yaml: over names gone.yaml, and there is no file \S+gone.yaml"),
        ({"top": "over: ."}, r"top.yaml: over names ., and there is no file"),
        ({"top": "over: [a, b]"}, r"top.yaml: over must be the path of one overlay, relative to this file, got \['a'"),
        ({"top": ""}, r"top.yaml must hold a mapping \(model:, data:, trainer:\), and holds nothing"),
        ({"top": "- a"}, r"top.yaml must hold a mapping .*, and holds a list"),
        ({"top": "model: {\n a: ["}, r"top.yaml is no valid YAML: .* line 2, column"),
        ({"top": "over: a.yaml", "a": "model: ]"}, r"a.yaml is no valid YAML"),
    ],
)
def test_what_is_wrong_with_an_overlay_is_said_in_one_line(tmp_path, texts, message):
    write(tmp_path, **texts)
    with pytest.raises(SystemExit) as error, one_line_errors():
        read_overlay(tmp_path / "top.yaml")
    assert re.search(f"^error: .*{message}", str(error.value))
    assert "\n" not in str(error.value)
