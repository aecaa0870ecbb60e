"""Double entry from what the streams and the card registry recorded."""
