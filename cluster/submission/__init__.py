"""From a file on a laptop to a driver on a cluster, through the Ray Jobs API."""
