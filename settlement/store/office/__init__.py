"""Tables of the office's database."""
