"""The simulated PBOC purse: persistent memory, files, the APDU application, profiles and personalisation. Left out:
the reader.
"""
