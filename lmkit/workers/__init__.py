"""Processes that work beside a run: the mirror of its trackers; one entry point starts them all."""
