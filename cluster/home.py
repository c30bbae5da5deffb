"""The folder with this user's keys, tokens and servers."""

import os
from pathlib import Path


def home_folder() -> Path:
    """Where this user's keys and servers are kept. Absolute: others work in other folders."""
    return Path(os.environ.get("UNFREEZE_HOME") or "~/.unfreeze").expanduser().absolute()
