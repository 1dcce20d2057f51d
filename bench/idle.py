"""Connections that have had one request each and then say nothing."""

import asyncio
import contextlib
import resource
import ssl
import threading
from urllib.parse import urlsplit


@contextlib.contextmanager
def connections(url, count):
    """Holds `count` of them while the block runs; gives how many there are."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    held = asyncio.run_coroutine_threadsafe(open_all(urlsplit(url), count), loop).result()
    try:
        yield len(held)
    finally:
        for writer in held:
            loop.call_soon_threadsafe(writer.transport.abort)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def open_all(where, count):
    tls = None
    if where.scheme == "https":
        tls = ssl._create_unverified_context()
        tls.options |= ssl.OP_NO_TICKET
    gate, held = asyncio.Semaphore(50), []

    async def one(number):
        async with gate:
            # A source address for each 20,000 connections: ports are 16 bits.
            source = (f"127.0.0.{2 + number // 20000}", 0)
            reader, writer = await asyncio.open_connection(where.hostname, where.port, ssl=tls, local_addr=source)
            writer.write(f"GET {where.path or '/'} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
            held.append(writer)

    await asyncio.gather(*map(one, range(count)))
    # Until what comes after the answer (tickets, timers) has settled.
    await asyncio.sleep(2)
    return held
