"""Breaks the neighbours of a running vault at random, from a printed seed, and checks that nothing is lost and nothing doubled."""
