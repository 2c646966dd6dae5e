"""Sweeps: many runs of one recipe, over a space of its settings."""
