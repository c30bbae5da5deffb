"""Folders of the Rays that we start: logs, sockets and objects, which are nobody else's."""

import os
import tempfile
from pathlib import Path


def make_ray_folder(prefix: str) -> Path:
    """A new one, with mode 0700; Ray's own, /tmp/ray, is open to every user of the machine.

    In RAY_TMPDIR or /tmp, not in TMPDIR: the paths of the sockets in it have 107 characters at
    most.
    """
    return Path(tempfile.mkdtemp(prefix=prefix, dir=os.environ.get("RAY_TMPDIR") or "/tmp"))
