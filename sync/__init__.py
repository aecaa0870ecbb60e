"""The uplink daemon: carries sealed taps from the till's journal to the server, and brings down what the till needs."""
