"""Compiled loops for what NumPy cannot say fast."""
