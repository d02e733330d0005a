"""The team's model: load, split, features, train, baseline."""
