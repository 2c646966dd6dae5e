"""Optimizers of torch, with typed settings."""
