"""Senders of batches, or readers of pages, in a process of their own; prints what they saw as JSON.

python -m bench.sender HOST:PORT --form platevault --seconds 4 --senders 8 [--rate 100] [--photographs FOLDER]
python -m bench.sender HOST:PORT --page "/v1/detections?limit=100" --seconds 4 --senders 8
"""

import argparse
import asyncio
import gc
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

import uvloop
from bench.bodies import FORMS, Bodies, pairs_from
from tests.outage.load import Sender, closed_loop, open_loop
from tests.support.processes import VIEWER_TOKEN

SENDERS: Final = 8


class Pages:
    """The same page again and again."""

    def __init__(self, target: str) -> None:
        head = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {VIEWER_TOKEN}\r\nX-Purpose: bench\r\n\r\n"
        self._request = head.encode()

    def next(self) -> tuple[str, list[bytes]]:
        return "page", [self._request]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--form", choices=sorted(FORMS), default="platevault")
    parser.add_argument("--page")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--senders", type=int, default=SENDERS)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--photographs", type=Path)
    asked = parser.parse_args()
    host, _, port = asked.address.rpartition(":")
    assert host == "127.0.0.1", "loopback only"
    pairs = [] if asked.page else await asyncio.to_thread(pairs_from, asked.photographs)
    requests = Pages(asked.page) if asked.page else Bodies(pairs, FORMS[asked.form])
    gc.disable()
    began_at = time.time()
    sender = Sender((host, int(port)), requests)
    if asked.rate:
        await open_loop(sender, rate=asked.rate, seconds=asked.seconds)
    else:
        await closed_loop(sender, senders=asked.senders, seconds=asked.seconds)
    load = sender.finish()
    told = {**asdict(load), "began_at": began_at, "acknowledged": len(sender.acknowledged)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    uvloop.run(main())
