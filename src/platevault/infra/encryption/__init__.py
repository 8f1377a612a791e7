"""Encryption of files in the age format, with public keys: the machine that encrypts cannot decrypt.

- `age`: Recipients, to which data are encrypted, and identities, which decrypt them.
"""
