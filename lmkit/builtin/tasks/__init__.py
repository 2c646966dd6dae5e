"""Tasks: text classification, token classification, translation."""
