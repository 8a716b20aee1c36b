"""Tests of the page as a whole: it holds all, fetches nothing, and shows hostile names as text."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from advscope.report import compare, save_examples, to_html
from advscope.report.page.document import to_script


class Elements(HTMLParser):
    """The elements of a page, and the text of its scripts by their id."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: dict[str, str] = {}
        self._script: str | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._script = (dict(attrs).get("id") or "page") if tag == "script" else None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.texts.append(data)
        else:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._script = None


def content(page: str) -> Any:
    return json.loads(Elements(page).scripts["content"])


def test_it_holds_all_and_fetches_nothing(runs: tuple[Path, Path]) -> None:
    page = to_html(runs)
    elements = Elements(page)

    for tag, attributes in elements.tags:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "srcset", "action"):
            address = attributes.get(name)
            assert address is None or address.startswith(("#", "data:")), (tag, address)
    (policy,) = [at["content"] for tag, at in elements.tags if at.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "@import" not in page[: page.index("</style>")]
    assert "url(" not in page[: page.index("</style>")]
    library = gzip.decompress(base64.b64decode(elements.scripts["plotly"])).decode()
    assert "plotly.js v" in library[:100]
    assert not re.search(r"\$[a-z]", "".join(elements.texts))  # no place of the template is left open


def test_the_same_files_give_the_same_bytes(runs: tuple[Path, Path]) -> None:
    assert to_html(runs) == to_html(runs)
    assert to_html(runs) != to_html(runs[::-1])


def test_every_figure_stands_in_the_table(runs: tuple[Path, Path]) -> None:
    comparison = compare(runs)
    page = to_html(runs)
    body = page[page.index("<table class=figures>") :]
    assert body[: body.index("</table>")].count("<th scope=row>") == len(comparison.lines)
    texts = Elements(page).texts
    for note in comparison.notes:
        assert note in texts


def test_hostile_names_are_text(hostile: list[Path], hostile_name: str) -> None:
    page = to_html(hostile)
    elements = Elements(page)

    assert [at.get("id") for tag, at in elements.tags if tag == "script"] == ["content", "plotly", None]
    assert not [at for _, at in elements.tags if any(name.startswith("on") for name in at)]
    assert not [tag for tag, _ in elements.tags if tag == "img"]
    said = "".join(elements.texts)
    for name in (f"{hostile_name}1", f"{hostile_name}2", f"{hostile_name}/relative"):
        assert name in said
    found = json.loads(elements.scripts["content"])
    assert [run["name"] for run in found["runs"]] == [f"{hostile_name}1", f"{hostile_name}2"]
    assert found["classes"][0] == hostile_name
    assert found["layers"] == [hostile_name]
    assert "\u2028" not in elements.scripts["content"]
    # What goes to Plotly has no tags left.
    for name in ("accuracy", "units"):
        assert "<" not in json.dumps(found["plots"][name]).replace("<br>", "").replace("<extra></extra>", "")
    for name in ("bias", "significance"):
        assert "<" not in json.dumps(found["plots"][name]).replace("<br>", "").replace("<extra></extra>", "")
    for plot in found["plots"]["masking"]:
        for kind in ("clean", "robust"):
            assert "<" not in json.dumps(plot[kind]).replace("<br>", "").replace("<extra></extra>", "")


def test_json_in_a_script_comes_back(hostile_name: str) -> None:
    value = {hostile_name: [hostile_name, "<!--", "]]>", None, 0.5]}
    assert json.loads(to_script(value)) == value
    assert not re.search("[<>&\u2028\u2029]", to_script(value))
    with pytest.raises(ValueError, match="JSON"):
        to_script([float("nan")])


def test_what_is_missing_is_named(runs: tuple[Path, Path]) -> None:
    (runs[0] / "metrics.jsonl").write_text('{"epoch": 0, "train/loss": 1.5}\n')
    said = "".join(Elements(to_html(runs)).texts)
    assert "No training curves of demo-madry" in said
    assert f"No units of demo-natural, demo-madry: add callbacks.DissectionMonitor to the evaluation and run python " \
        f"evaluate.py --run {runs[0]}" in said  # fmt: skip


def test_one_run_alone_is_a_page(runs: tuple[Path, Path]) -> None:
    found = content(to_html(runs[:1]))
    assert [run["name"] for run in found["runs"]] == ["demo-natural"]
    assert len(found["images"]["pgd20"]["images"]) == 3


def test_errors_name_the_file(runs: tuple[Path, Path]) -> None:
    results = runs[1] / "results" / "standard"
    (results / "units.csv").write_text("layer\n")
    with pytest.raises(ValueError, match=r"madry.*units\.csv has no column unit"):
        to_html(runs)
    (results / "units.csv").unlink()
    (results / "arrays.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"madry.*arrays\.npz cannot be read"):
        to_html(runs)
    with pytest.raises(FileNotFoundError, match="it has standard"):
        to_html(runs, "other")


def test_a_page_at_224_px_is_small_enough(results: ModuleType, tmp_path: Path) -> None:
    results.write_run(tmp_path / "run", "run", seed=0, attacks=("pgd20",))
    arrays = results.make_arrays(0, examples=6, size=224, cell=13, attacks=("pgd20",))
    save_examples(tmp_path / "run" / "results" / "standard" / "arrays.npz", arrays)
    assert len(to_html([tmp_path / "run"]).encode()) < 5e6
