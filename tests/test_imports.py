"""What importing the library loads, and what it does not."""

import subprocess
import sys

import pytest

PACKAGES = ["advscope", *(f"advscope.{name}" for name in ("attacks", "explainers", "measures", "networks", "report"))]
HEAVY = ("wandb", "torchattacks", "timm", "pytorch_lightning", "lightning", "plotly")


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_the_library_loads_no_heavy_package(package):
    program = f"import sys, {package}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_only_torchmetrics_may_load_matplotlib():
    """Our own modules import it inside functions: without torchmetrics' import, none is loaded."""
    program = (
        "import sys, torchmetrics; before = 'matplotlib' in sys.modules; import advscope.report, advscope.measures;"
        "print(before, 'matplotlib' in sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = loaded.stdout.split()
    assert before == after
