"""Architectures that are trained from scratch: a Transformer encoder, an LSTM, an encoder-decoder."""
