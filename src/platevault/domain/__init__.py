"""What it means: words and decisions of license-plate evidence, without clock, disk, socket or setting.

- `batch`: One POST of a collector: its manifest, what makes two of them the same, and the answer it gets.
- `byte_ranges`: Parts of a sequence of bytes, as HTTP's Range header asks for them.
- `crash_points`: Named places where a test can make the process die; inert unless PLATEVAULT_CRASH_AT names one.
- `detection`: One plate read, parsed once at the border into a frozen value that cannot be wrong afterwards.
- `error_chain`: What an error may tell a log: its kinds and where it came from, never its words, which may quote a plate or a token.
- `errors`: What can go wrong, as a tree: whose fault it is decides the branch.
- `field_conditions`: Conditions of a search on single reported fields, made from the list of fields: an equal text, or at least a number.
- `images`: What an image is by its bytes, and the states that it goes through.
- `metric_definitions`: What is measured: the name, the kind, the labels and the meaning of every metric that `GET /metrics` shows.
- `object_keys`: The one speller of object keys, of the ids that they are made of, and of the folders that are not for images.
- `object_metadata`: What an image object says of itself in its user metadata, so that rows can be rebuilt from the bucket alone.
- `object_prefixes`: The prefixes of a bucket, each declared once: its owner, its expiry, its place in jobs and backups, its readers.
- `plates`: How plates are compared: by their letters and digits, by what a camera may have misread, and by any part of them.
- `purge_record`: What a run erased, as it can be proved later: counts, times, and one digest of all ids.
- `rendition_recipe`: What a derived image is to look like, and what is known of an image: values, each with one spelling.
- `reported_fields`: The fields that a camera reports, each declared once: its type, its column, its search, its place on pages and in exports.
- `retention_policy`: How long a detection is kept, and from when that counts: classes by collector and camera, the first match wins.
- `search_query`: What can be asked for: filters, pages and the change feed, parsed once from a query string or from JSON.
- `search_results`: What a search finds: detections and their images as rows tell them, in the shape in which they are answered.
"""
