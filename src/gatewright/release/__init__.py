"""Which version is live where: register, promote, roll back, retire."""
