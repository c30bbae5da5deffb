"""What can go wrong in a search. Mistakes in a search file are ConfigErrors of `jobs`.

SearchError
 |- LanesFailed      no lane could be started, or none is left
 `- NoTrialFinished  there is nothing to choose from
"""


class SearchError(Exception):
    """Something went wrong in a search."""


class LanesFailed(SearchError):
    """No lane could be started, or none is left."""


class NoTrialFinished(SearchError):
    """No trial has run its length, so there is nothing to choose from."""
