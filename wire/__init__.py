"""What crosses a boundary between two programs: formats, ids, money, errors. Pure: no socket, database, clock or chance."""
