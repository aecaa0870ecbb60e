"""Tables of the top-up desk's database."""
