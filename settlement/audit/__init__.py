"""The audit: thirteen points at which the school's books and the evidence they rest on must agree."""
