"""Simulated chips in front of a program: through a private PC/SC daemon, or in the same process. Left out: the chips
themselves.
"""
