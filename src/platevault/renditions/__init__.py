"""Derived images: made on demand, cached under `derived/`.

- `capacity`: The places of whoever makes pictures in one process: how many may wait, how many have bytes in hand, and how many render.
- `context`: What derived pictures are made with: who decodes, where originals come from, and which pictures are in hand.
- `image_facts`: Tell what is known of one image beyond its row: what its header says, read from its bytes.
- `make_variants`: Make the named variants that images lack, a few at a time; one that cannot be made holds up none of the others.
- `prerender`: Make the variants that are asked for at ingest, of newly stored images.
- `rebuild`: Make named variants of all stored images, after a change or before anybody asks.
- `render`: Make derived pictures: each one once, whoever asks for it at the same time, in this process or in another one.
- `serve`: Show a derived picture: where its object is, or its bytes, or what became of the image; and sign a URL for it.
- `variants`: Derived pictures of stored images: the named ones, where each one lies, and for how long it counts as being there.
- `sql/`: SQL of `renditions`.
"""
