#!/usr/bin/env python3
"""Latency of fast requests while some requests are slow: does a fast one ever wait behind a slow one while another process is idle?

    mixed.py --url http://127.0.0.1:8080 [--fast /] [--slow /slow] [--share 0.1] [--rate 200] [--secs 20] [--conns 64]
    answered=3600 failed=0 p50_ms=1.90 p90_ms=20.41 p99_ms=66.12 max_ms=93.0

Requests arrive at random moments (Poisson, seeded: every server gets the same ones) at --rate a second, whatever the server does; a
--share of them goes to --slow. Each is sent over an idle kept-alive connection out of --conns. Printed: percentiles of the fast ones,
counted from the moment they should have been sent (so waiting for a connection counts), and how many failed of all.
"""
import argparse
import asyncio
import random
import ssl
import sys
import time
from urllib.parse import urlsplit


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--fast", default="/")
    parser.add_argument("--slow", default="/slow")
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--secs", type=float, default=20)
    parser.add_argument("--conns", type=int, default=64)
    args = parser.parse_args()
    where = urlsplit(args.url)
    tls = ssl._create_unverified_context() if where.scheme == "https" else None
    port = where.port or (443 if tls else 80)
    idle, fast, failed = asyncio.Queue(), [], []

    async def request(path, due):
        connection = await idle.get()
        try:
            if connection is None:
                connection = await asyncio.open_connection(where.hostname, port, ssl=tls)
            reader, writer = connection
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {where.hostname}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            if b"transfer-encoding: chunked" in lower:
                while (await reader.readuntil(b"\r\n")) != b"0\r\n":
                    pass
                await reader.readuntil(b"\r\n")
            else:
                length = int(lower.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
                await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 200"):
                failed.append(head.split(b"\r\n", 1)[0].decode())
            if b"connection: close" in lower:
                writer.close()
                connection = None
        except (OSError, asyncio.IncompleteReadError) as error:
            failed.append(type(error).__name__)
            connection = None
        finally:
            idle.put_nowait(connection)
        if path == args.fast:
            fast.append(time.perf_counter() - due)

    for _ in range(args.conns):
        idle.put_nowait(None)

    def at(share):
        return 1000 * fast[min(len(fast) - 1, int(share * len(fast)))]

    chance, due, tasks = random.Random(7), time.perf_counter() + 0.5, []
    end = due + args.secs
    while due < end:
        await asyncio.sleep(max(0, due - time.perf_counter()))
        path = args.slow if chance.random() < args.share else args.fast
        tasks.append(asyncio.create_task(request(path, due)))
        due += chance.expovariate(args.rate)
    await asyncio.wait(tasks, timeout=30)
    fast.sort()
    print(f"answered={len(fast)} failed={len(failed)} p50_ms={at(0.5):.2f} p90_ms={at(0.9):.2f} p99_ms={at(0.99):.2f} max_ms={at(1):.1f}")
    if failed:
        print(*sorted(set(failed))[:3], sep="\n", file=sys.stderr)


asyncio.run(main())
