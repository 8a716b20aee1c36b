"""The page in a real browser, where one is installed: it draws, steps, sorts, and runs nothing that a name brings."""

import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from advscope.report import to_html

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--virtual-time-budget=20000", "--dump-dom",
)  # fmt: skip

# Notes errors from the start, and what the page shows after each press of a key.
WATCH = """<script>
const noted = document.documentElement.dataset;
const note = (text) => { noted.errors = (noted.errors ?? "") + text + "; "; };
addEventListener("error", (event) => note(event.message));
addEventListener("unhandledrejection", (event) => note(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => note(event.violatedDirective));
for (const kind of ["error", "warn"]) console[kind] = (...said) => note(said.join(" "));
</script>"""
PRESS = """<script>
const shown = [];
const look = () => shown.push(document.getElementById("image-title").textContent.match(/Image (\\d+)/)[1]);
look();
for (const key of ["j", "ArrowRight", "ArrowRight", "k", "ArrowLeft"]) {
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  look();
}
document.documentElement.dataset.shown = shown.join(" ");
const sort = (id, value) => {
  document.getElementById(id).value = value;
  document.getElementById(id).dispatchEvent(new Event("change"));
};
sort("sort", "0");
sort("sort-of", "difference 1");
document.documentElement.dataset.sorted =
  [...document.querySelectorAll("#strip span")].map((label) => label.textContent).join(" ");
</script>"""


def opened(page: str, folder: Path) -> str:
    """Return the page's HTML after its scripts have run."""
    path = folder / "page.html"
    path.write_text(page.replace("<title>", f"{WATCH}<title>", 1).replace("</body>", f"{PRESS}</body>"))
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'profile'}", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def attribute(dom: str, name: str) -> str | None:
    """Return what the page noted."""
    found = re.search(rf'<html[^>]* data-{name}="([^"]*)"', dom)
    return found[1] if found else None


def test_it_draws_steps_and_sorts(runs: tuple[Path, Path], tmp_path: Path) -> None:
    (runs[0] / "metrics.jsonl").write_text('{"epoch": 0, "train/loss": 1.5, "val/clean/accuracy": 0.5}\n')
    dom = opened(to_html(runs), tmp_path)

    assert attribute(dom, "errors") is None
    assert attribute(dom, "state") == "ready"
    # Images 3, 6 and 9; a step behind the last one stays there.
    assert attribute(dom, "shown") == "3 6 9 9 6 3"
    # Descending by the difference; what is undefined stands last.
    values = (attribute(dom, "sorted") or "").split()
    defined = [float(value) for value in values if value != "\u2013"]
    assert len(values) == 3
    assert defined == sorted(defined, reverse=True)
    assert values[len(defined) :] == ["\u2013"] * (3 - len(defined))
    for place in ("accuracy", "clean", "loss", "psr", "is", "bias"):
        assert re.search(rf'id="plot-{place}"[^>]*>.*?class="main-svg"', dom, re.DOTALL), place
    assert dom.count('<article class="card') == 2


def test_it_draws_p_values_masked_units_and_where_units_respond(
    runs: tuple[Path, Path], dissected: ModuleType, tmp_path: Path
) -> None:
    dissected.write_dissection(runs[1] / "results" / "standard")
    dom = opened(to_html(runs), tmp_path)

    assert attribute(dom, "errors") is None
    assert attribute(dom, "state") == "ready"
    for place in ("units", "detectors", "significance", "masking-clean", "masking-robust"):
        assert re.search(rf'id="plot-{place}"[^>]*>.*?class="main-svg"', dom, re.DOTALL), place
    for place in ("significance", "masking", "unit-cards"):
        assert re.search(rf'<div id="{place}-there">', dom), place  # and not hidden
    assert re.search(r'<select id="top"><option value="10">10</option>.*?<option value="30">30</option></select>', dom)
    # Two pairs, six units of each, clean and adversarial.
    assert dom.count('class="covered"') == 2 * 6 * 2
    assert dom.count("\u25b2 promoted") == 2 * 2
    assert dom.count("\u25bc suppressed") == 2


def test_what_no_run_has_is_hidden(runs: tuple[Path, Path], tmp_path: Path) -> None:
    dom = opened(to_html(runs), tmp_path)
    for place in ("units", "significance", "masking", "unit-cards"):
        assert re.search(rf'<div id="{place}-there" hidden', dom), place


def test_hostile_names_run_nothing(hostile: list[Path], tmp_path: Path) -> None:
    dom = opened(to_html(hostile), tmp_path)

    assert attribute(dom, "errors") is None
    assert attribute(dom, "state") == "ready"
    assert attribute(dom, "boom") is None
    assert "onerror=boom" in dom  # as text: in names and labels
    assert not re.search(r"<img[^>]* onerror", dom)
