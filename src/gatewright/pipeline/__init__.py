"""The stages of a project, its dvc.lock, and whether the two agree."""
