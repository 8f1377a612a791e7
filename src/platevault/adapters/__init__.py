"""Translations of what others send into our words; pure."""
