"""Validation: whether a run's result is real, found out without training anew."""
