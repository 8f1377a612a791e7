"""What it means: words and decisions of license-plate evidence, without clock, disk, socket or setting.

- `batch`: A batch of a collector: manifest, identity, limits, answer.
- `byte_ranges`: Byte ranges of the HTTP Range header.
- `canonical_values`: Canonical spelling of numbers and times in a batch.
- `crash_points`: Named crash points for tests; inert without PLATEVAULT_CRASH_AT.
- `described`: Reports that only describe a detection: mended, or left out.
- `detection`: One plate read, parsed and validated.
- `error_chain`: Kinds and frames of an error chain, without its messages.
- `errors`: The error tree, by cause.
- `image_delivery`: Delivery of one image, as operators see it.
- `images`: Image types by their bytes, and image states.
- `metric_definitions`: Name, kind, labels and meaning of each metric.
- `moments`: Moments as text: RFC 3339 with a zone.
- `object_keys`: Object keys, ids and prefixes, spelled in one place.
- `object_metadata`: User metadata of image objects, for rebuilding rows.
- `plates`: Comparison of plates: normal form, misread characters, parts.
- `plate_readings`: Other readings of a plate, for the misread-tolerant search.
- `purge_record`: The provable record of an erasure: counts, times, digest of ids.
- `rendition_recipe`: Recipe of a rendition, and facts of an image.
- `retention_policy`: Retention period of a detection: classes, precedence, start.
- `search_query`: Filters, pages and feed positions, parsed from query string or JSON.
- `search_results`: Detections and images as a search returns them.
- `field_conditions`: Search conditions on single reported fields.
- `object_prefixes`: The prefixes of the bucket, each declared once.
- `reported_fields`: The fields that a camera reports, each declared once.
"""
