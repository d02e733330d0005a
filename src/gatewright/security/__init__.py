"""Scanners that fail closed, and the one file that says what may wait."""
