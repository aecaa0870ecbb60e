"""Where the server's data lies. Django is imported here and nowhere else; what leaves this package is plain Python."""
