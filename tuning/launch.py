"""A search as a Python call.

What it takes is imported when it is called: the broker and each process of Tune import this
package, and have no use for torch and transformers, which take seconds and over 200 MB.
"""

from dataclasses import dataclass
from typing import Any

from unfreeze.jobs.launch import Show
from unfreeze.tuning.search_file import Search


@dataclass(frozen=True)
class SearchResult:
    """What came of a search."""

    uri: str
    """Where its files are."""
    data: dict[str, Any]
    """The contents of result.json."""
    was_finished: bool
    """The search had been finished before, and nothing was done."""


def run_search(
    search: Search, *, address: str | None = None, show: Show = lambda message: None
) -> SearchResult:
    """Runs the search, or goes on with it; on this machine, or on the Ray cluster at `address`.

    `show` gets what happens as it happens: mappings with a `kind`.
    Raises UserMistake before anything is started; SearchError, StorageError or ClusterError after.
    """
    from unfreeze.tuning.search import carry_on

    return carry_on(search, address, show)
