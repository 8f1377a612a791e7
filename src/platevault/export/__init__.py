"""Exports: a zip with the images and metadata that a search finds.

- `documents`: What stands beside the images of an export: the manifest for programs, a table and a letter for people.
- `export`: Export what a search finds as a zip, streamed: images under their keys, a manifest, a table for people.
- `pages`: Read all that a search finds, a page at a time: each page is written to the access log before anyone has it.
- `prefetch`: Fetch the images of a page of detections, in order and a few ahead: each with its bytes, or with why it has none.
- `request`: An export: what is asked for, what becomes of each image in it, and how it ends.
- `zip_format`: The frame around files in a zip: headers, directory and end, as APPNOTE.TXT 6.3 has them; files are stored as they are.
- `zip_stream`: One archive of an export while it is made: a zip of which nothing but a few chunks is in memory, however many files it has.
"""
