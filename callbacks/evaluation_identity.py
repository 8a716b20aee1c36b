"""What the results of an evaluation depend on, as checksums by name."""

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import nn

from callbacks.run_record import versions

_PACKAGES = ("advscope", "callbacks", "datamodules", "lightning_modules")
_WITHOUT_EFFECT = {"trainer": ("enable_progress_bar", "limit_test_batches"), "data": ("num_workers", "start_method")}


def evaluation_identity(trainer: Trainer, network: nn.Module, settings: dict[str, Any]) -> dict[str, str]:
    """Return what an evaluation must have in common with a stopped one to go on with it.

    Settings (without those that change no figure), weights, data, versions of the libraries, advscope's own code, and
    what rounding depends on: the kind of device and, on a processor, the number of threads. A setting "auto" names
    neither, and half an evaluation of each would be one that no machine repeats. How many images are evaluated is no
    part of it: more can follow later.
    """
    relevant = json.loads(json.dumps(settings))
    trainer_settings, data_settings = relevant.get("trainer", {}), relevant.get("data", {}).get("init_args", {})
    for part, names in ((trainer_settings, _WITHOUT_EFFECT["trainer"]), (data_settings, _WITHOUT_EFFECT["data"])):
        for name in names:
            part.pop(name, None)
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    return {
        "settings": hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest(),
        "weights": weights_checksum(network),
        "data": f"{datamodule.checksum('test')}, source {datamodule.source}",
        "number of processes": str(trainer.world_size),
        "device": _device(trainer.strategy.root_device),
        "versions": json.dumps(versions(), sort_keys=True),
        "code of advscope": code_checksum(),
    }


def _device(device: torch.device) -> str:
    """Return what the rounding of a device depends on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def code_checksum() -> str:
    """Return the sha256 over advscope's own Python files, with their names."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        found = importlib.util.find_spec(package)
        for folder in (found.submodule_search_locations if found else None) or ():
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def weights_checksum(network: nn.Module) -> str:
    """Return the sha256 of a network's weights and buffers, with their names, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
