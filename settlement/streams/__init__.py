"""One stream: its gateway, and the journal of what its terminals sent."""
