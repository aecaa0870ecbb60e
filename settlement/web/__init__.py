"""Read-only pages for the operator: how the processes, streams, terminals and books stand. Left out: changing any."""
