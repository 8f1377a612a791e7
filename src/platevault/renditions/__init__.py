"""Derived images: made on demand, cached under `derived/`.

- `capacity`: Admission and limits of rendering in one process.
- `context`: Dependencies and limits of renditions.
- `image_facts`: Facts of one image, from its header.
- `make_variants`: Missing variants of a page of images.
- `prerender`: Variants of newly stored images.
- `rebuild`: Variants of all stored images.
- `render`: One rendition, made once by all processes together.
- `serve`: A rendition for a reader: its object, bytes or state.
- `variants`: Named variants, their keys and lifetimes.
- `sql/`: SQL of `renditions`.
"""
