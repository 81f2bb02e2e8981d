#!/usr/bin/env python3
"""Requests as fast as answers come, with aiohttp: one session, a task a connection, keep-alive, bodies read whole."""

import asyncio

import aiohttp

import event_loop
from window import Window, parse_arguments


async def main(args):
    async with event_loop.session(args.connections) as session:
        # All at once, so that each opens a connection.
        await asyncio.gather(*(fetch(session, args.url) for _ in range(args.connections)))
        window = Window(args.seconds)
        counts = await asyncio.gather(*(fetch_on(session, args.url, window) for _ in range(args.connections)))
        window.report(requests=sum(done for done, _ in counts), failed=sum(failed for _, failed in counts))


async def fetch_on(session, url, window):
    done = failed = 0
    while window.is_open():
        done += 1
        failed += not await fetch(session, url)
    return done, failed


async def fetch(session, url):
    try:
        async with session.get(url) as response:
            await response.read()
            return response.status < 400
    except (aiohttp.ClientError, asyncio.TimeoutError):
        return False


if __name__ == "__main__":
    event_loop.run(main, parse_arguments(__doc__, **event_loop.SWITCH))
