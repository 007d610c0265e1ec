"""Bytes on disk and the arrays in them; one file per format."""
