"""The machinery that judges, registers and promotes models. It comes from the template.

Folders, each importing only from those to its right:
cli > settings > release > gate > measure > artefacts.
"""
