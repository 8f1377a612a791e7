"""Direct uploads: presigned PUT URLs, then a commit.

- `abort`: End a direct upload that nobody will commit, and say how any of them is.
- `commit`: Commit a direct upload: hash what was put under temp/, bring it under its keys, record it, and answer once it is stored.
- `context`: What direct uploads need, and who may commit one now.
- `create`: Open a direct upload: a URL for each file, with which a collector puts exactly those bytes into the store, once.
- `expire`: Remove what direct uploads left under temp/, for servers whose lifecycle does not run, and sooner than it would.
- `offer`: A direct upload: the files that a collector may put into the store itself, and what became of them.
- `verify`: What was put under temp/ for one upload: read, held against its offer, and brought under its keys.
- `sql/`: SQL of `ingest.uploads`.
"""
