"""How much Ray, DeepSpeed and the other libraries say: nothing, unless somebody asks for it.

The choice stands in the environment, so that it reaches every process of a job: `--verbose` sets
it, and so may who calls us from Python or writes a deploy file.
"""

import os
from collections.abc import Mapping

VERBOSE = "UNFREEZE_VERBOSE"
"""Set to 1: what the libraries log is shown."""

_OF_EVERY_WORKER = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    # torch 2.13 warns at every collective call, on every rank.
    "PYTHONWARNINGS": "ignore",
}
# On top of a cluster whose nodes were started quiet.
_SPOKEN = {
    VERBOSE: "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "0",
    "TRANSFORMERS_VERBOSITY": "warning",
    "PYTHONWARNINGS": "default",
}


def is_verbose(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody asked for all that the libraries log."""
    return environment.get(VERBOSE, "") not in ("", "0")


def worker_settings(verbose: bool | None = None) -> dict[str, str]:
    """Environment of the workers. None: as this process was asked to be."""
    spoken = is_verbose() if verbose is None else verbose
    return {**_OF_EVERY_WORKER, **(_SPOKEN if spoken else _QUIET)}
