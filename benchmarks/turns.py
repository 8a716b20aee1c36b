"""Timing of several ways to one result, which take turns, so that a drift of the machine's speed meets all."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch


def take_turns(ways: Mapping[str, Callable[[], Any]], rounds: int, warm_up: bool = True) -> dict[str, list[float]]:
    """Return the seconds of every way in every round, after one round that is not timed unless all ran before."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(0 if warm_up else 1, rounds + 1):
        for name, way in ways.items():
            synchronise()
            start = time.perf_counter()
            way()
            synchronise()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def per_second(seconds: Mapping[str, list[float]], count: int, digits: int = 1) -> dict[str, dict[str, float]]:
    """Return the median, lowest and highest number of things a second, of every way."""
    return {
        name: {
            "median": round(count / statistics.median(times), digits),
            "lowest": round(count / max(times), digits),
            "highest": round(count / min(times), digits),
        }
        for name, times in seconds.items()
    }


def machine() -> dict[str, Any]:
    """Return what figures depend on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
    return {"device": device, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def processor() -> str:
    """Return the name of the processor, as Linux knows it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "?")
    except OSError:
        return platform.processor() or platform.machine()


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def show(record: Mapping[str, Any]) -> None:
    """Print a benchmark's page."""
    print(json.dumps(record, indent=1))
