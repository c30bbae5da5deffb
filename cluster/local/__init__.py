"""The cluster of `unfreeze cluster up`: a head and workers on this machine."""
