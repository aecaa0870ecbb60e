"""Tables of the card registry's database."""
