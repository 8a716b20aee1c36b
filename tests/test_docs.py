"""What README, docs and the headers of configs point at is there, and nothing in them is left to be filled in."""

import inspect
import re
from pathlib import Path

import pytest

from advscope import attacks

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


def identify(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES + CONFIGS, ids=identify)
def test_nothing_is_left_to_be_filled_in(page):
    found = re.findall(r"\b(?:RESULT|TODO|TBD|FIXME|XXX)\w*", page.read_text())
    assert not found


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    for link in links:
        if "://" not in link:
            name, _, heading = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), link
            if heading:
                titles = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
                anchors = {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}
                assert heading in anchors, link


@pytest.mark.parametrize("page", PAGES + CONFIGS, ids=identify)
def test_commands_name_files_that_are_there(page):
    text = page.read_text()
    for pattern in re.findall(r"configs/[\w/{},]+\.yaml", text):
        for name in expanded(pattern):
            assert (ROOT / name).exists(), name
    for name in re.findall(r"-m benchmarks\.(\w+)", text):
        if name != "NAME":
            assert (ROOT / "benchmarks" / f"{name}.py").exists(), name
    for name in re.findall(r"\b(?:tests|advscope|callbacks|datamodules|lightning_modules)/[\w/]+\.py\b", text):
        if "NAME" not in name:
            assert (ROOT / name).exists(), name


CARDS = (ROOT / "docs" / "attacks.md").read_text()
ATTACKS = [name for name in attacks.__all__ if inspect.isclass(getattr(attacks, name)) and name != "Attack"]


def card(name):
    """Return the part of the page on attacks that is under an attack's heading."""
    found = re.search(rf"^### `{name}`\n(.*?)(?=^##|\Z)", CARDS, re.M | re.S)
    assert found, f"docs/attacks.md has no card of {name}"
    return found[1]


def as_written(default):
    """Return a setting's default as a card writes it, all of its spellings."""
    if default is inspect.Parameter.empty:
        return {"none"}
    if isinstance(default, str):
        return {f'"{default}"'}
    return {repr(default), f"{default * 255:g}/255"} if isinstance(default, float) else {repr(default)}


@pytest.mark.parametrize("name", ATTACKS)
def test_the_card_of_an_attack_has_its_settings_and_their_defaults(name):
    kind = inspect.signature(getattr(attacks, name)).parameters.values()
    settings = {setting.name: setting.default for setting in kind if setting.kind is not setting.VAR_KEYWORD}
    if name == "Refined":  # says what regions there are; its two settings have no default
        assert set(settings) == {"attack", "region"}
        return
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) \|", card(name), re.M))
    assert list(rows) == list(settings)
    for setting, default in settings.items():
        assert rows[setting] in as_written(default), f"{name}.{setting} is {default!r}"


def expanded(pattern):
    """Return what a pattern with braces stands for in a shell."""
    match = re.search(r"\{([^}]*)\}", pattern)
    if match is None:
        return [pattern]
    return [
        name
        for choice in match[1].split(",")
        for name in expanded(pattern[: match.start()] + choice + pattern[match.end() :])
    ]
