"""Real servers from wheels, started and stopped by Platevault itself."""
