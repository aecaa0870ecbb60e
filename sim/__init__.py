"""The simulator, a shipped product: cards, PSAM, reader and the campus around them. Left out: anything a till or
server needs in service.
"""
