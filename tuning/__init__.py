"""Many jobs: searches over learning rates and freeze lengths."""
