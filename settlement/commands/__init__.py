"""What each `campus-settlement` command does, by area; `settlement.__main__` puts them together."""
