"""Programs of others that start clusters: found, run, and their end told."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from unfreeze.cluster.deployments import WHERE_TO_GET, Command
from unfreeze.cluster.errors import ProgramFailed, ProgramMissing


def run_all(commands: Sequence[Command]) -> None:
    """One after the other, their output shown as it comes.

    Nothing is run if a program is missing. Raises ProgramMissing, ProgramFailed.
    """
    found = [(_find(command[0]), *command[1:]) for command in commands]
    for command in found:
        ended = subprocess.run(command, check=False)
        if ended.returncode:
            raise ProgramFailed(
                f"{Path(command[0]).name} ended with {ended.returncode}; what it said is above"
            )


def _find(program: str) -> str:
    """On PATH, or beside our Python."""
    beside = Path(sys.executable).with_name(program)
    path = shutil.which(program) or (str(beside) if beside.is_file() else None)
    if path is None:
        raise ProgramMissing(f"{program} is not installed; get it: {WHERE_TO_GET[program]}")
    return path
