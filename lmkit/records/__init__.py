"""What is kept of runs, on disk and without torch."""
