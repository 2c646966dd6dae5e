"""Optimizers of the pytorch-optimizer library for lmkit, with typed settings."""
