"""The proof that the containers work: `make containers`."""
