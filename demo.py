"""The demo: ``make demo``, or ``python demo.py``. Trains a natural and a Madry network, explains both, compares them.

Everything is written to runs/demo; a run that is there already is not trained again (delete its folder to do so).
"""

import json
import time
from pathlib import Path

import compare
import evaluate
import train

FOLDER = Path("runs/demo")
OBJECTIVES = ("natural", "madry")
PAGE = FOLDER / "compare.html"
OVERLAY = "configs/evaluation/demo.yaml"


def main() -> None:
    """Train, evaluate, compare."""
    start = time.perf_counter()
    runs = [FOLDER / objective for objective in OBJECTIVES]
    for number, (objective, run) in enumerate(zip(OBJECTIVES, runs, strict=True)):
        config = f"configs/concept_shapes_{objective}_demo.yaml"
        if finished(run):
            print(f"[{2 * number + 1}/5] {run} is trained already: delete the folder to train it again", flush=True)
        else:
            print(f"[{2 * number + 1}/5] training: python train.py --config {config} --run {run}", flush=True)
            begun = (run / "checkpoints" / "last.ckpt").exists()
            train.main(["--config", config, "--run", str(run), f"--resume={str(begun).lower()}"])
        print(f"[{2 * number + 2}/5] evaluation: python evaluate.py --run {run} --config {OVERLAY}", flush=True)
        evaluate.main(["--run", str(run), "--config", OVERLAY])
    words = [*map(str, runs), "--evaluation", "demo", "--out", str(PAGE)]
    print(f"[5/5] comparison: python compare.py {' '.join(words)}", flush=True)
    compare.main(words)
    print(f"Both runs side by side, and image by image: open {PAGE} in a browser.")
    print(f"Figures: {', '.join(f'{run}/results/demo/figures' for run in runs)}")
    print(f"The demo took {time.perf_counter() - start:.0f} s.")


def finished(run: Path) -> bool:
    """Whether a training came to its end."""
    record = run / "run.json"
    return record.exists() and json.loads(record.read_text()).get("finished", False)


if __name__ == "__main__":
    main()
