"""The protocol below the app: deadlines, load shedding, discarded bodies.

- `connections`: What uvicorn leaves out: deadlines and limits of connections, and a close that does not cost the client its answer.
- `discard`: Throws away what is left of a body that nobody reads, without making bytes objects of it.
- `overload`: Refuses a batch for which there is no place before anything else looks at it: under load that is most of them.
"""
