"""The carrier: cells, data bearers to servers of this machine, and the SMS centre; see ../MODEM.md."""
