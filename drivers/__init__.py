"""Devices of a till behind small protocols: card, PSAM, reader and what follows. Left out: every rule about money and
any record kept.
"""
