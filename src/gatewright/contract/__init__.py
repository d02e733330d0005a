"""The schema of a request and of an answer, and what follows from it."""
