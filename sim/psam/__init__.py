"""The simulated PSAM, a till's security module. Left out: load and TAC keys, which stay with the issuer."""
