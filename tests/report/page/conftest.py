"""Fixtures of the page: runs whose every name would be markup, a script, or a template's place."""

import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from advscope.report import write_rows, write_summary, write_units
from advscope.report.unit_examples import write_unit_examples

HOSTILE = (
    "</script><script>document.documentElement.dataset.boom=1</script>\u2028\"'&<img src=x onerror=boom()>%{x}$title"
)


@pytest.fixture
def hostile_name() -> str:
    """A name that ends scripts, starts some, breaks lines, and holds places of templates."""
    return HOSTILE


@pytest.fixture
def hostile(results: ModuleType, dissected: ModuleType, tmp_path: Path) -> list[Path]:
    """Two runs whose names, layers, classes, concepts, attacks on units and settings are all hostile."""
    folders = []
    for seed in (1, 2):
        folder = tmp_path / f"run {seed}"
        rows = results.make_rows(seed)
        for row in rows:
            row[f"bias/{HOSTILE}/relative"] = row["bias/fc/relative"]
        summary = results.make_summary(f"{HOSTILE}{seed}", rows)
        summary["data"]["classes"] = [HOSTILE, *summary["data"]["classes"][1:]]
        summary["data"]["name"] = HOSTILE
        summary["settings"][HOSTILE] = f"{HOSTILE}{seed}"
        summary["figures"][f"test/pgd20/bias/{HOSTILE}/relative"] = summary["figures"]["test/pgd20/bias/fc/relative"]
        made = folder / "results" / "standard"
        write_summary(made / "summary.json", summary)
        write_rows(made / "images.csv", rows)
        results.write_run(tmp_path / "plain", "plain", seed=seed)
        shutil.copy(tmp_path / "plain" / "results" / "standard" / "arrays.npz", made)
        unit = {
            "layer": HOSTILE, "unit": 0, "threshold": 1, "maximum": 2, "kind": "regular", "concept": HOSTILE,
            "category": HOSTILE, "iou": 0.2, "iou_low": 0.1, "iou_high": 0.3, "detector": True, "interpretability": 0.2,
            "sensitivity": 0.5, "sensitivity_low": 0.4, "sensitivity_high": 0.6, "sensitivity_all": 0.5,
                "area": 0.05, "adversarial_concept": "", "adversarial_category": "", "adversarial_iou": 0.1,
        }  # fmt: skip
        write_units(made / "units.csv", [unit])
        dissected.write_csv(made / "significance.csv", dissected.make_significance(seed, (HOSTILE,)))
        masking = [row | {"attack": HOSTILE} for row in dissected.make_masking((HOSTILE,))]
        dissected.write_csv(made / "masking.csv", masking)
        examples = dissected.make_examples(seed)
        names = {
            name: np.array([HOSTILE] * len(getattr(examples, name)))
            for name in ("layers", "concepts", "categories", "labels", "targets")
        }
        write_unit_examples(made / "unit_examples.npz", examples._replace(**names))
        folders.append(folder)
    return folders
