"""Support for the tests of plugins: contracts to inherit (`contracts`, which needs pytest) and settings' docstrings."""
