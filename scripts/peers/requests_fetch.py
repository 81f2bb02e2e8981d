#!/usr/bin/env python3
"""Each URL of a list once, with requests in a ThreadPoolExecutor, as its documentation has it: a future a URL, a session
a thread; a line of JSON for each."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from lines import Lines, parse_arguments
from window import Window


def main(args):
    window = Window()
    local = threading.local()

    def start():
        local.session = requests.Session()
        # Looks for proxies and .netrc on each request otherwise.
        local.session.trust_env = False

    def fetch(url):
        began = time.monotonic()
        try:
            response = local.session.get(url, timeout=30)
            content_type = response.headers.get("Content-Type")
            said = {"status": response.status_code, "body": response.content, "content_type": content_type}
        except requests.RequestException as error:
            said = {"error": repr(error)}
        return {"url": url, "seconds": time.monotonic() - began, **said}

    with open(args.list) as urls, open(args.output, "w") as out:
        lines, done = Lines(out, args.save), 0
        with ThreadPoolExecutor(args.connections, initializer=start) as pool:
            for done, said in enumerate(pool.map(fetch, map(str.strip, urls)), 1):
                lines.write(done, **said)
    window.report(requests=done, failed=lines.failed)


if __name__ == "__main__":
    main(parse_arguments(__doc__))
