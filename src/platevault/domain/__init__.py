"""What it means: words and decisions of license-plate evidence, without clock, disk, socket or setting."""
