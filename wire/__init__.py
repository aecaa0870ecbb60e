"""What crosses a boundary between two programs: formats, ids, money, errors. No socket, database, clock, chance."""
