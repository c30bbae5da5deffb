"""The Ray that a process was started by."""

from contextlib import suppress

import psutil

_OPTION = "--gcs-address="


def address_of_own_ray() -> str:
    """HOST:PORT of the Ray whose raylet is above this process; "auto" if there is none.

    The Jobs API of Ray 2.60 tells a driver the address that "auto" finds on the node. Where several
    Rays share a host, that is of the one that was started last.
    """
    for process in psutil.Process().parents():
        with suppress(psutil.Error):
            for word in process.cmdline():
                if word.startswith(_OPTION):
                    return word.removeprefix(_OPTION)
    return "auto"
