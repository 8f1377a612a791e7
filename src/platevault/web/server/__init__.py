"""The protocol below the app: deadlines, load shedding, discarded bodies.

- `connection_limit`: Number of connections that a process takes, and those that make way.
- `connections`: Deadlines, limits and close of connections.
- `discard`: Discard of unread bodies.
- `overload`: Load shedding before the app.
- `remaining_body`: Limits of the rest of a body after its answer.
- `upgrade_offer`: Heads without the offer of another protocol.
- `whole_body`: Request bodies in one buffer.
"""
