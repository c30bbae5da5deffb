"""Ray's token: where it is kept, and which one this process uses.

A token is one secret for all who may use a cluster: who has it runs code there. Ours is in a file
that only its owner reads (Ray's own, ~/.ray/auth_token, is readable to others), and is named by
its path. What unfreeze starts always asks for one: there is no way to switch that off.

Ray reads RAY_AUTH_* once, when it is imported; all of this happens before. A program that has
imported it keeps its own settings.
"""

import os
import secrets
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from unfreeze.cluster.addresses import is_loopback
from unfreeze.cluster.errors import AuthenticationOff, TokenFileRefused
from unfreeze.cluster.home import home_folder
from unfreeze.cluster.local.state import local_cluster_at

MODE = "RAY_AUTH_MODE"
TOKEN = "RAY_AUTH_TOKEN"
TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"


def token_file() -> Path:
    """Where the token of what we start is."""
    return home_folder() / "ray-token"


def use_token(address: str | None) -> None:
    """Sets this process up for the Ray at `address` (Ray's own or a dashboard's), None: for one
    that is about to be started here.

    Raises AuthenticationOff, TokenFileRefused.
    """
    if "ray" in sys.modules:
        return
    settings = settings_for(address, os.environ)
    if settings.get(TOKEN_PATH):
        os.environ.pop(TOKEN, None)  # Ray would prefer it
    os.environ.update(settings)


def settings_for(address: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """RAY_AUTH_* for the Ray at `address`, as far as the environment does not say it already.

    - One that we start, and the cluster of `unfreeze cluster up`: our file's.
    - A token that the environment names is used, with RAY_AUTH_MODE or without.
    - On loopback, when it names none: our file's, if there is one.
    - Elsewhere: what the environment says.

    For a Ray that we start, a token of the environment is used too, and the file is made where it
    is missing. Raises AuthenticationOff, TokenFileRefused.
    """
    off = (environment.get(MODE) or "token").lower() != "token"
    if address is None and off:
        raise AuthenticationOff(
            f"{MODE}={environment[MODE]}: unfreeze starts no Ray that asks for no token, as whoever"
            f" reaches it could run code; unset {MODE}"
        )
    if address is not None and local_cluster_at(address):
        check_token_file(token_file())
        return {MODE: "token", TOKEN_PATH: str(token_file())}
    if off:
        return {}
    if environment.get(TOKEN):
        return {MODE: "token"}
    if named := environment.get(TOKEN_PATH):
        check_token_file(Path(named).expanduser())
        return {MODE: "token"}
    if address is None:
        return {MODE: "token", TOKEN_PATH: str(make_token(token_file()))}
    if is_loopback(address) and token_file().exists():
        check_token_file(token_file())
        return {MODE: "token", TOKEN_PATH: str(token_file())}
    return {}


def token_for(address: str) -> str | None:
    """The token itself, for a request to a dashboard; None where none is named.

    Raises AuthenticationOff, TokenFileRefused. To be shown to nobody.
    """
    settings = {**os.environ, **settings_for(address, os.environ)}
    if settings.get(MODE, "").lower() != "token":
        return None
    own = local_cluster_at(address) is not None
    if settings.get(TOKEN) and not own:
        return settings[TOKEN].strip()
    path = settings.get(TOKEN_PATH)
    return _read(Path(path).expanduser()) if path else None


def make_token(path: Path) -> Path:
    """The file, with a token made at random if it is not there. Raises TokenFileRefused."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # The mode is given to open(): a chmod afterwards would leave a moment for others to read.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        check_token_file(path)
    else:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
    return path


def check_token_file(path: Path) -> None:
    """Raises TokenFileRefused if others can read or write the file, or if it is not there.

    A file of another owner (a mounted secret) may be open to our group: else we could not read it.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise TokenFileRefused(_unreadable(path)) from error
    others = 0o077 if found.st_uid == os.getuid() else 0o007
    if stat.S_IMODE(found.st_mode) & others:
        raise TokenFileRefused(
            f"{path}: others can read or change this token, and whoever has it runs code on the "
            f"cluster; run chmod 600 {path}"
        )


def _read(path: Path) -> str:
    """Never quoted in an error."""
    try:
        return path.read_text().strip()
    except (OSError, ValueError) as error:
        raise TokenFileRefused(_unreadable(path)) from error


def _unreadable(path: Path) -> str:
    return f"{path}: cannot be read; {TOKEN_PATH} is to name a file with the cluster's token"
