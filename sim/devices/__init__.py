"""Simulated devices around the till: receipt printer, customer display, lamps and buzzer; see ../DEVICES.md."""
