"""What the clients of aiohttp have in common: their session, and the loop that they run on. No command of its own."""

import asyncio

import aiohttp

SWITCH = {"uvloop": "run on uvloop instead of asyncio's own event loop"}


def session(connections):
    """To be made inside the loop. Without cookies to look for, each request is cheaper."""
    connector = aiohttp.TCPConnector(limit=connections)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def run(main, arguments):
    if arguments.uvloop:
        import uvloop

        uvloop.run(main(arguments))
    else:
        asyncio.run(main(arguments))
