"""Judges a model against thresholds and the model it would replace, and promotes it.

Rooms, each importing only from those to its right (pyproject.toml holds them to it):
cli > repo_settings > security > release > project > gate > registry > pipeline > evaluation >
contract > adapters.
"""
