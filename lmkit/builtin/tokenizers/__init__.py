"""Tokenizers: pretrained ones, and ones fitted on the training texts."""
