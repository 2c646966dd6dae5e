"""From a source's rows to batches: columns, checks, splits, features and their cache, batching."""
