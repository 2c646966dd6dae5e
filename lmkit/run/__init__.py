"""A recipe becomes built parts, goes through Lightning, and leaves a record."""
