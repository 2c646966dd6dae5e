"""Recipes: what to run, as typed data. Imports no torch."""
