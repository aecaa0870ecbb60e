"""The ways to the server, each behind the same contract."""
