"""Looking at a table before a model is trained on it: one page, the suspicious things first.

`facts` measures columns, `suspicions` says what to look at first, `page` draws: all of them pure.
`look` reads the table and writes the page.
"""
