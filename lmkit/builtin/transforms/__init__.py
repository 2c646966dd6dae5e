"""The transforms that ship with lmkit."""
