"""What the Python clients that fetch lists have in common: arguments, and the line of a URL. No command of its own."""

import argparse
import hashlib
import json
from pathlib import Path


def parse_arguments(doc, **switches):
    """A list, where its lines go, and whatever switches the client has of its own: {name: help}."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("list", type=Path, help="a file with a URL a line")
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True, help="a line of JSON a URL")
    parser.add_argument("--save", type=Path, help="a folder for bodies, a thousand in each of its own")
    for name, help_text in switches.items():
        parser.add_argument(f"--{name}", action="store_true", help=help_text)
    return parser.parse_args()


class Lines:
    """What is written of each URL: what most would want to know, and the digest of a body that is saved."""

    def __init__(self, out, save):
        self.out = out
        self.save = save
        self.failed = 0
        self.folders = set()

    def write(self, line, url, status=None, body=b"", content_type=None, error=None, seconds=None):
        ok = error is None and status < 400
        self.failed += not ok
        record = {"line": line, "url": url, "status": status, "ok": ok, "error": error, "response_ms": seconds * 1e3,
                  "bytes": len(body), "content_type": content_type}
        if self.save and ok:
            record["file"], record["sha256"] = self.keep(line, body), hashlib.sha256(body).hexdigest()
        self.out.write(json.dumps(record) + "\n")

    def keep(self, line, body):
        """Written in place: what is killed in between leaves half a file, as in most people's programs."""
        folder = f"{line // 1000:06}"
        if folder not in self.folders:
            (self.save / folder).mkdir(parents=True, exist_ok=True)
            self.folders.add(folder)
        name = f"{folder}/{line:09}"
        with open(self.save / name, "wb") as file:
            file.write(body)
        return name
