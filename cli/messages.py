"""What a command says when it fails, and what it does not say."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import jsonargparse
from lightning_fabric.utilities.exceptions import MisconfigurationException

from callbacks import TrainingCollapsedError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End with one line instead of a traceback where the user can mend it; ``ADVSCOPE_TRACEBACK=1`` shows all."""
    expected = (ValueError, OSError, TrainingCollapsedError, MisconfigurationException, jsonargparse.ArgumentError)
    with warnings.catch_warnings():
        quieten()
        try:
            yield
        except expected as error:
            if os.environ.get("ADVSCOPE_TRACEBACK"):
                raise
            raise SystemExit(f"error: {' '.join(message(error).split())}") from None


def message(error: Exception) -> str:
    """Return what an error says.

    Where a class refuses a setting, jsonargparse lists all that it tried, once for each list or mapping that the class
    lies in: then what the class said.
    """
    said: BaseException = error
    while str(said).startswith("Does not validate against any of") and isinstance(said.__cause__, ValueError | OSError):
        said = said.__cause__
    return str(said)


def quieten() -> None:
    """Ignore warnings that a user can do nothing about; each with its reason."""
    # Lightning's tips on devices and products of its maker; warnings still come through.
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    # Our loaders keep decoded images in memory: workers would only copy them.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # Short epochs are legitimate in demos and tests; metrics are logged per epoch as well.
    warnings.filterwarnings("ignore", message=".*The number of training batches.*smaller than the logging interval.*")
    # torchmetrics' Metrics sync themselves before compute().
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
    # The words of the command line are passed on as they are, or merged into a config: nothing is given twice.
    warnings.filterwarnings("ignore", message=".*args parameter is intended to run from within Python.*")
    # A run that is resumed goes on in its own folder.
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    # pytorch-lightning 2.6.6 uses a name that torch 2.15 deprecates.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # jsonargparse 4.5x announces what 5.0 removes, which pytorch-lightning 2.6.6 still uses; hence the upper cap.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="jsonargparse.*")
