"""A simulated modem behind a pseudo-terminal, which programs take for a GSM or 4G modem; see ../MODEM.md."""
