"""The trackers that ship with lmkit."""
