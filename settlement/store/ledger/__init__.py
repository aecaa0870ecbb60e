"""Tables of the ledger's database."""
