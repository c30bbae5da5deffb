"""transformers and deepspeed, loaded quietly: what they print and probe for is no news to users.

Unless somebody asks for it (cluster/verbosity.py).
"""

import importlib
import os
from contextlib import suppress
from typing import Any

import torch

from unfreeze.cluster import is_verbose


def import_transformers() -> Any:
    """transformers, without progress bars and notes about new heads."""
    _say_there_is_no_gpu()
    import transformers

    if not is_verbose():
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
    return transformers


def import_deepspeed() -> Any:
    """DeepSpeed, without the op that it would compile for half a minute on a CPU."""
    _say_there_is_no_gpu()
    import deepspeed
    import deepspeed.ops
    from deepspeed.utils import logger

    _import_muon()

    if not torch.cuda.is_available():
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    for each in (logger, *logger.handlers):
        each.setLevel("INFO" if is_verbose() else "ERROR")
    return deepspeed


def _import_muon() -> None:
    """An optimizer that is never used here, without the compiler that it would load.

    DeepSpeed's engine imports it whatever the optimizer is, and at that moment it decorates three
    functions with torch.compile: 1.4 s, in each worker, at each start.
    """
    library: Any = torch
    compiler, library.compile = library.compile, lambda function, **options: function
    try:
        with suppress(ModuleNotFoundError):  # versions differ in what their engine imports
            importlib.import_module("deepspeed.runtime.zero.muon.original_muon")
    finally:
        library.compile = compiler


def _say_there_is_no_gpu() -> None:
    # transformers may load deepspeed, which warns when it has to find out by itself.
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
