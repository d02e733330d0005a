"""Trying parameters on the training rows: no test row is asked.

`space` reads what may be tried, `folds` says on which rows, `search` tries by Optuna, and
`experiments` shows what was tried before, by commit.
"""
