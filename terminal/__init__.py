"""The till: what a cashier works with, from the card on the reader to a sealed record in the journal."""
