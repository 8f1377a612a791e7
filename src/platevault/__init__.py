"""Platevault keeps what license-plate cameras see."""
