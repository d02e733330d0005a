"""Measuring a model: predictions, metrics, intervals, slices, data."""
