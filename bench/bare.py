"""The floor: a client that puts the same images straight into the same S3 server, 16 at a time, and does nothing else.

python -m bench.bare --seconds 4 [--photographs FOLDER]     MINIO_* variables say where; prints what it did as JSON
"""

import argparse
import asyncio
import itertools
import json
import os
import resource
import secrets
import sys
import time
from pathlib import Path
from typing import Final

import obstore
import uvloop
from bench.bodies import pairs_from
from obstore.store import S3Store

AT_ONCE: Final = 16


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--photographs", type=Path)
    asked = parser.parse_args()
    images = [
        (kind, data)
        for pair in await asyncio.to_thread(pairs_from, asked.photographs)
        for kind, data in zip(("full", "crop"), pair, strict=True)
    ]
    store = S3Store(
        os.environ["MINIO_BUCKET"],
        endpoint=f"http://{os.environ['MINIO_ENDPOINT']}",
        region="us-east-1",
        access_key_id=os.environ["MINIO_ACCESS_KEY"],
        secret_access_key=os.environ["MINIO_SECRET_KEY"],
        virtual_hosted_style_request=False,
        retry_config={"max_retries": 0},
        client_options={"allow_http": True},
    )
    run, numbers = secrets.token_hex(4), itertools.count()
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.time()
    end = began + asked.seconds

    async def put_on() -> None:
        while time.time() < end:
            number = next(numbers)
            kind, data = images[number % len(images)]
            key = f"{kind}/bare/{run}-{number}.jpg"
            attributes = {
                "Content-Type": "image/jpeg",
                "Cache-Control": "private, max-age=86400",
                "camera-id": "lane-1",
            }
            await obstore.put_async(store, key, data, attributes=attributes, use_multipart=False)

    await asyncio.gather(*(put_on() for _ in range(AT_ONCE)))
    seconds, after = time.time() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = {"images": next(numbers), "seconds": seconds, "cpu_seconds": cpu, "resident_bytes": after.ru_maxrss * 1024}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    uvloop.run(main())
