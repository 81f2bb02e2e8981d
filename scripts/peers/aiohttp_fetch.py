#!/usr/bin/env python3
"""Each URL of a list once, with aiohttp: one session, a task a connection, each takes the next line; a line of JSON for
each."""

import asyncio
import time

import aiohttp

import event_loop
from lines import Lines, parse_arguments
from window import Window


async def main(args):
    window = Window()
    with open(args.list) as urls, open(args.output, "w") as out:
        lines, queue = Lines(out, args.save), enumerate(map(str.strip, urls), 1)
        async with event_loop.session(args.connections) as session:
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
    event_loop.run(main, parse_arguments(__doc__, **event_loop.SWITCH))
