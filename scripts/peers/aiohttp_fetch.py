#!/usr/bin/env python3
"""Each URL of a list once, with aiohttp: one session, a task a connection, each takes the next line; a line of JSON for
each."""

import asyncio
import time

import aiohttp

from lines import Lines, parse_arguments
from window import Window


async def main(args):
    window = Window()
    connector = aiohttp.TCPConnector(limit=args.connections)
    # Without cookies to look for, each request is cheaper.
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    with open(args.list) as urls, open(args.output, "w") as out:
        lines, queue = Lines(out, args.save), enumerate(map(str.strip, urls), 1)
        async with session:
            done = await asyncio.gather(*(fetch_from(session, queue, lines) for _ in range(args.connections)))
    window.report(requests=sum(done), failed=lines.failed)


async def fetch_from(session, queue, lines):
    done = 0
    for line, url in queue:
        done += 1
        began = time.monotonic()
        try:
            async with session.get(url) as response:
                body = await response.read()
                said = {"status": response.status, "body": body, "content_type": response.content_type}
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            said = {"error": repr(error)}
        lines.write(line, url, seconds=time.monotonic() - began, **said)
    return done


if __name__ == "__main__":
    arguments = parse_arguments(__doc__, uvloop="run on uvloop instead of asyncio's own event loop")
    if arguments.uvloop:
        import uvloop

        uvloop.run(main(arguments))
    else:
        asyncio.run(main(arguments))
