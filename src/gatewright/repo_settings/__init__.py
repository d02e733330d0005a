"""GitHub's settings as code: desired, reconciled, audited."""
