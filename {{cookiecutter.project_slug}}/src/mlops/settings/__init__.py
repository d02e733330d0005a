"""What protects the repository: settings as code, and a look at what is in force."""
