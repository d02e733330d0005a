"""Tables as teams have them: what their columns mean, and how they become the contract's.

`texts` knows what a text says, `recipe` reads a table as it was written down to be read, `guess_*`
propose how: pure functions, each guess with its evidence. Files and databases are opened by
`adapters.source_files`.
"""
