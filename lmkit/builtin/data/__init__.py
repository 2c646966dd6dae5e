"""Sources of rows: files."""
