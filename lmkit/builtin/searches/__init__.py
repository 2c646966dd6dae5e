"""Searches: grid and random."""
