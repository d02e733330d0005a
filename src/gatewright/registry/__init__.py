"""What a version is and what is live where, on a branch of plain files."""
