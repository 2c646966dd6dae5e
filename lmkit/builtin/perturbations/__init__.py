"""Perturbations: typos, case, punctuation, contractions."""
