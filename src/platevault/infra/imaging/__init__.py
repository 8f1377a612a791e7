"""Decoding and deriving pictures in child processes.

- `decoder_pool`: Decode pictures where they can do no harm: in child processes that are killed and replaced; the only door to any decoder.
- `decoder_process`: The program that decodes pictures: one after the other, from standard input to standard output, within hard limits.
- `decoder_protocol`: How a renderer and its children speak: two lengths (32 bits each, big-endian), then JSON, then bytes.
- `exif`: What EXIF tags say, as plain values: when, with what, and where. Tags are hostile text; what makes no sense is left out.
- `headers`: What the header of an image file gives away before anything is decoded: lies and bombs that need no decoder to be seen.
- `transform`: Derive one picture from another: decoded, cut, sized and encoded. Hostile files belong into a child process (infra/imaging/decoder_pool).
"""
