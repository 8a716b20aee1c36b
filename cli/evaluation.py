"""The command line of ``evaluate.py``."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import pytorch_lightning
import yaml
from pytorch_lightning.callbacks import Callback

from callbacks import EvaluationProgress, EvaluationRecord, finish_wandb
from cli.base import CLI
from cli.configs import laid_over, read_overlay, read_yaml
from cli.targeting import aim_at, class_number


class EvaluateCLI(CLI):
    """The command line of an evaluation: the run's own config, and overlays laid over it."""

    job = "evaluate"

    def __init__(self, args: list[str] | None = None) -> None:
        parser = argparse.ArgumentParser(
            prog="evaluate.py",
            description="Evaluate a run: attack its test images and explain the adversarial examples.",
            epilog="--wandb=off leaves W&B out. Any setting of the run can follow, as in train.py --help: "
            "--data.init_args.test=500. An evaluation that was stopped goes on when the same command is given again.",
        )
        parser.add_argument("--run", type=Path, help="folder of the run: holds config.yaml, gets results/NAME")
        parser.add_argument("--config", action="append", default=[], type=Path, metavar="FILE",
                            help="overlay laid over the run's config; several follow each other "
                            "(default: configs/evaluation/standard.yaml)")  # fmt: skip
        parser.add_argument("--checkpoint", default="last", help="last, best_clean or best_robust (default: last)")
        parser.add_argument("--weights", type=Path, help="network trained elsewhere: --config then names its config")
        parser.add_argument("--name", help="name of the evaluation (default: that of the last overlay, "
                            "with -CHECKPOINT where it is not the last)")  # fmt: skip
        parser.add_argument("--max_images", type=int, metavar="N", help="take the first N test images, in the order of "
                            "the split (default: all)")  # fmt: skip
        parser.add_argument("--max_minutes", type=float, metavar="M", help="take no further batch after M minutes and "
                            "write what there is; the same command goes on later")  # fmt: skip
        parser.add_argument("--source", metavar="CLASS", help="take the test images of this class alone")
        parser.add_argument("--target", metavar="CLASS", nargs="+", default=[], help="aim every attack at this class; "
                            "at several: each attack once for each, as ATTACK@CLASS")  # fmt: skip
        own, rest = parser.parse_known_args(args)
        check_limits(own, parser)
        self.own = own
        base, overlays = self.base_config(own, parser)
        if any(word.split("=")[0] == "--trainer.precision" for word in rest):
            parser.error("evaluations run in float32, so that they can be compared: leave --trainer.precision out")
        kept = "" if own.weights or own.checkpoint == "last" else f"-{own.checkpoint}"
        self.evaluation = own.name or f"{overlays[-1].stem}{kept}"
        self.checkpoint = str(own.weights.name) if own.weights else f"{own.checkpoint}.ckpt"
        for overlay in overlays:
            base = laid_over(base, read_overlay(overlay))
        base.setdefault("trainer", {})["precision"] = "32-true"
        self.aimed = aim_at(base, own.target)
        self.weights_file = own.weights or self.run / "checkpoints" / self.checkpoint
        if own.weights and not self.weights_file.exists():
            raise FileNotFoundError(f"--weights: there is no file {self.weights_file}; name the one to evaluate")
        if not self.weights_file.exists():
            there = sorted(path.stem for path in (self.run / "checkpoints").glob("*.ckpt"))
            raise FileNotFoundError(f"no weights at {self.weights_file}; --checkpoint can be {', '.join(there) or '-'}")
        with tempfile.TemporaryDirectory() as folder:
            merged = Path(folder) / "merged.yaml"
            merged.write_text(yaml.safe_dump(base, sort_keys=False))
            super().__init__(["--config", str(merged), "--weights", str(self.weights_file), *rest])

    def instantiate_trainer(self, **kwargs: Any) -> pytorch_lightning.Trainer:
        """Settle which images are taken and where attacks are aimed, then build the trainer."""
        data = self.datamodule
        data.max_images = self.own.max_images
        if self.own.source is not None:
            data.source = class_number(self.own.source, data.class_names, "--source")
        for attack, target in self.aimed.items():
            self.model.targeting[attack] = class_number(target, data.class_names, "--target")
            if self.model.targeting[attack] == data.source:
                raise ValueError(f"--target {target} is the class of --source: name another one")
        return super().instantiate_trainer(**kwargs)

    def base_config(
        self, own: argparse.Namespace, parser: argparse.ArgumentParser
    ) -> tuple[dict[str, Any], list[Path]]:
        """Return the config to start from, without its callbacks and logger, and the overlays."""
        standard = [Path(__file__).parents[1] / "configs" / "evaluation" / "standard.yaml"]
        if own.weights is not None:
            if not own.config:
                parser.error("--weights needs --config FILE, the config that builds its network")
            base, overlays = read_yaml(own.config[0]), own.config[1:] or standard
            self.run = own.run or Path("runs") / f"{own.config[0].stem}-{own.weights.stem}"
        else:
            if own.run is None:
                parser.error("name a run (--run RUN), or a config and weights (--config FILE --weights FILE)")
            if not (own.run / "config.yaml").exists():
                raise FileNotFoundError(f"{own.run} has no config.yaml: name the folder that train.py --run wrote")
            base, overlays = read_yaml(own.run / "config.yaml"), own.config or standard
            self.run = own.run
        trainer = base.setdefault("trainer", {})
        for key in ("callbacks", "callbacks+", "logger", "precision"):
            trainer.pop(key, None)
        base.pop("collapse_guard", None)
        base.pop("weights", None)
        return base, overlays

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return self.run / "results" / self.evaluation

    def record_callbacks(self) -> list[Callback]:
        """Return the record of the evaluation."""
        settings = {key: value for key, value in self.plain_config().items() if key != "weights"}
        settings["model"]["init_args"]["targeting"] = dict(self.model.targeting)
        record = EvaluationRecord(
            self.folder, self.run.name, self.evaluation, self.checkpoint, settings, max_minutes=self.own.max_minutes
        )
        return [record] if self.config.trainer.enable_progress_bar is False else [record, EvaluationProgress()]

    def test(self) -> None:
        """Evaluate."""
        try:
            self.trainer.test(self.model, self.datamodule, verbose=False)
        finally:
            finish_wandb(self.trainer)


def check_limits(own: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuse limits that leave nothing to evaluate."""
    if own.max_images is not None and own.max_images < 1:
        parser.error(f"--max_images must be at least 1, got {own.max_images}")
    if own.max_minutes is not None and not own.max_minutes > 0:
        parser.error(f"--max_minutes must be positive, got {own.max_minutes:g}")
