"""The metrics that ship with lmkit: of labels, of spans and of text."""
