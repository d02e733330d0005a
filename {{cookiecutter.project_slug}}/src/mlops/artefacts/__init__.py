"""The files that team and machinery agree on: contract, model, lock, storage."""
