# .venv/bin/python benchmarks/embedded_memory.py [--quick]
"""Memory of the embedded S3 server while 768 MB are uploaded to it: the most, and at rest after.

Starts a server of its own in a temporary folder, and ends it. Uploads 16 MB objects by four
threads, as the workers of a job do with their blobs.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from unfreeze.storage import embedded, open_store

OBJECT_BYTES = 16 * 1000**2
THREADS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="96 MB, once")
    quick = parser.parse_args().quick
    peaks, rests = [], []
    for _ in range(1 if quick else 3):
        peak, rest = measure(6 if quick else 48)
        peaks.append(peak / 1e6)
        rests.append(rest / 1e6)
    print(f"{'MB resident':12} {'median':>8} (lowest-highest)")
    for name, values in (("peak", peaks), ("at rest", rests)):
        print(f"{name:12} {statistics.median(values):8.0f} ({min(values):.0f}-{max(values):.0f})")
    # Against SeaweedFS as it is by default, measured once: 1.3 GB (it keeps what it has used).
    print(json.dumps({"ratios": {}, "peak_mb": round(statistics.median(peaks))}))


def measure(objects: int) -> tuple[int, int]:
    """Bytes resident: the most during the uploads, and five seconds after."""
    with tempfile.TemporaryDirectory(prefix="unfreeze-bench-") as home:
        os.environ["UNFREEZE_HOME"] = home
        try:
            store = open_store("s3://bench", endpoint="embedded")
            peak, done = [0], threading.Event()
            watcher = threading.Thread(target=_watch, args=(peak, done))
            watcher.start()
            with ThreadPoolExecutor(THREADS) as pool:
                list(
                    pool.map(
                        lambda i: store.put(f"blob-{i}", os.urandom(OBJECT_BYTES)), range(objects)
                    )
                )
            done.set()
            watcher.join()
            time.sleep(5)
            return peak[0], embedded.status().rss_bytes or 0
        finally:
            embedded.down()


def _watch(peak: list[int], done: threading.Event) -> None:
    while not done.wait(0.1):
        peak[0] = max(peak[0], embedded.status().rss_bytes or 0)


if __name__ == "__main__":
    main()
