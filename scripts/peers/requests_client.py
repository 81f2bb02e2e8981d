#!/usr/bin/env python3
"""Requests as fast as answers come, with requests in a ThreadPoolExecutor: a thread and a session a connection,
keep-alive, bodies read whole. A thread asks again by itself: no future a request, which is the cheaper way."""

import threading
from concurrent.futures import ThreadPoolExecutor

import requests

from window import Window, parse_arguments


def main(args):
    local = threading.local()
    all_connected = threading.Barrier(args.connections)

    def connect(_):
        local.session = requests.Session()
        # Looks for proxies and .netrc on each request otherwise.
        local.session.trust_env = False
        fetch(local.session, args.url)
        # Holds the thread, so that each takes one of these tasks.
        all_connected.wait()

    def fetch_on(window):
        done = failed = 0
        while window.is_open():
            done += 1
            failed += not fetch(local.session, args.url)
        return done, failed

    with ThreadPoolExecutor(args.connections) as pool:
        list(pool.map(connect, range(args.connections)))
        window = Window(args.seconds)
        counts = list(pool.map(fetch_on, [window] * args.connections))
        window.report(requests=sum(done for done, _ in counts), failed=sum(failed for _, failed in counts))


def fetch(session, url):
    try:
        return session.get(url, timeout=10).status_code < 400
    except requests.RequestException:
        return False


if __name__ == "__main__":
    main(parse_arguments(__doc__))
