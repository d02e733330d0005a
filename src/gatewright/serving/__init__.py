"""Answers over HTTP, in batches and in SQL, of the version that is live."""
