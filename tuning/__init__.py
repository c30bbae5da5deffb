"""Many jobs. `run_search(load_search("search.yaml"))` does what `unfreeze search` does."""

from unfreeze.tuning.config import SearchConfig
from unfreeze.tuning.errors import LanesFailed, NoTrialFinished, SearchError
from unfreeze.tuning.launch import SearchResult, run_search
from unfreeze.tuning.search_file import Search, load_search, parse_search

__all__ = [
    "LanesFailed",
    "NoTrialFinished",
    "Search",
    "SearchConfig",
    "SearchError",
    "SearchResult",
    "load_search",
    "parse_search",
    "run_search",
]
