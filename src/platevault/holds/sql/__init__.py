"""SQL of `holds`.

- `copies`: Copies of held images: which are due, by leases of the database's clock, which are verified, which have to be looked at again.
- `holds`: Legal holds as rows: placed and released in bounded transactions, listed, counted.
- `placement`: What a hold comes to next while it takes up its detections, and that nothing is erased meanwhile, for it may be among them.
"""
