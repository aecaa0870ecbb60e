"""The commands that every make of modem has, one module a theme. Left out: TCP, in which the makes differ."""
