"""Everything that can be wrong with a cluster, looked for and said with its fix."""
