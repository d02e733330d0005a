"""The team's model: load, split, features, train, baseline. What it is about says the contract."""
