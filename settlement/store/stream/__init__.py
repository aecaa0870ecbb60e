"""Tables of one stream's database; the four streams have the same."""
