"""The wheel holds the library, and nothing of what belongs to a clone."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_wheel_holds_advscope_alone(tmp_path):
    copy = tmp_path / "clone"
    ignored = shutil.ignore_patterns(".git", ".venv", "runs", "data", "__pycache__", "build", "*.egg-info")
    shutil.copytree(ROOT, copy, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(copy)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("advscope-*.whl")
    files = [Path(name) for name in zipfile.ZipFile(wheel).namelist()]
    packages = {file.parts[0] for file in files if not file.parts[0].endswith(".dist-info")}
    assert packages == {"advscope"}
    parts = {f"advscope/report/page/page.{suffix}" for suffix in ("html", "css", "js")}
    assert parts <= {file.as_posix() for file in files}
    modules = {file for file in files if file.suffix == ".py"}
    assert modules == {path.relative_to(ROOT) for path in (ROOT / "advscope").rglob("*.py")}
