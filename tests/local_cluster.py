"""`unfreeze` in processes of its own, in a home of its own, as a user has it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

OWN = ("RAY_", "AWS_", "UNFREEZE_", "HF_TOKEN")


class Shell:
    """Runs `unfreeze`; keeps all that it has said."""

    def __init__(self, home: Path, **settings: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
        self.environment = {
            **kept,
            "UNFREEZE_HOME": str(home / "unfreeze"),
            "UNFREEZE_CACHE": str(home / "cache"),
            "HOME": str(home),
            "HF_HUB_OFFLINE": "1",
            **settings,
        }
        self.said: list[str] = []

    def run(self, *arguments: str, code: int = 0, more: Mapping[str, str] | None = None) -> str:
        """What it said on stdout; it has to end with this code."""
        ended = subprocess.run(
            [sys.executable, "-m", "unfreeze.cli.main", *arguments],
            env={**self.environment, **(more or {})},
            capture_output=True,
            text=True,
            timeout=420,
            check=False,
        )
        self.said += [ended.stdout, ended.stderr]
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout

    @property
    def errors(self) -> str:
        """What the last one said on stderr."""
        return self.said[-1]


@contextmanager
def local_cluster(shell: Shell, *arguments: str) -> Iterator[str]:
    """A cluster of `unfreeze cluster up`, and what that said; ended after."""
    try:
        yield shell.run("cluster", "up", *arguments)
    finally:
        shell.run("cluster", "down")
