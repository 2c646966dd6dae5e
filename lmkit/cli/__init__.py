"""The command line: a thin layer over `lmkit.api`. Commands import what they need when they are called."""
