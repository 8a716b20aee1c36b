"""Which precision a machine trains in, and float32 as it is written for everything that is measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch


def has_bfloat16_instructions() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX); without, bfloat16 is far slower.

    Asked of Linux alone; elsewhere the answer is no, which costs speed and nothing else.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def automatic_precision(device_type: str) -> Literal["bf16-mixed", "32-true"]:
    """Return the precision to train in: bfloat16 where the device has the instructions, else float32.

    Args:
        device_type: ``"cpu"`` or ``"cuda"``; anything else trains in float32.
    """
    if device_type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if device_type == "cpu" and has_bfloat16_instructions() else "32-true"


@contextmanager
def full_precision(device_type: str) -> Iterator[None]:
    """Switch autocast and TF32 off for a while: validation and test run in float32 in every training.

    Args:
        device_type: ``"cpu"`` or ``"cuda"``.
    """
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn
