"""What touches Git, DVC, files, the network and the terminal, each in one place."""
