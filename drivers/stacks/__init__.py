"""TCP over AT: the connections that a modem's own stack makes, one module for each family of modems."""
