"""A project about a team's own table: what is guessed of it, and the files that say so.

`profile` guesses (pure), `documents` writes the texts, `thresholds` proposes what the gate asks, by
what was measured, and `adopt` does it: all of it, or nothing.
"""
