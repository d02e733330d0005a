"""May this model enter that environment? Policy, checks, verdict."""
