"""The settlement server: what terminals upload is proved, kept, and booked."""
