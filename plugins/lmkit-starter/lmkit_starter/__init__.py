"""Data and pretrained weights to start with lmkit, from the package index alone."""
