"""Requests and answers as tcpdump saw them: the kernel's clock beside ours. No command of its own."""

import signal
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from measuring import Failed, install_missing, pinned_to, stop

NANOSECONDS = 0xA1B23C4D
ETHERNET = 1


class Capture:
    """tcpdump on the loopback for as long as the block lasts; then `exchanges` has what it saw on a port."""

    def __init__(self, port, core):
        self.port = port
        self.core = core

    def __enter__(self):
        install_missing({"tcpdump": "tcpdump"})
        self.folder = tempfile.TemporaryDirectory()
        self.file = Path(self.folder.name) / "packets"
        self.process = subprocess.Popen(
            ["tcpdump", "-i", "lo", "-n", "-s", "128", "-B", "65536", "--time-stamp-precision=nano", "-Z", "root",
             "-w", self.file, "tcp", "port", str(self.port)],
            stderr=subprocess.PIPE, preexec_fn=pinned_to([self.core]), text=True)
        for _ in range(200):
            # The file's head is written once it listens.
            if self.file.exists():
                time.sleep(0.2)
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        why = self.process.communicate()[1].strip()
        self.__exit__()
        raise Failed(f"tcpdump did not start: {why}")

    def finish(self):
        """Ends it; seconds since the epoch of each request and of its answer's first packet, in order of requests."""
        # The kernel hands packets over in blocks, the last of them after a while.
        time.sleep(1.5)
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=20)[1]
        if " 0 packets dropped by kernel" not in said.replace("\n", " "):
            raise Failed(f"tcpdump lost packets: {said}")
        return exchanges(self.file.read_bytes(), self.port)

    def __exit__(self, *_):
        stop(self.process)
        self.folder.cleanup()


def exchanges(capture, port):
    magic, *_, link = struct.unpack_from("<IHHiIII", capture)
    if (magic, link) != (NANOSECONDS, ETHERNET):
        raise Failed(f"a capture of another form: {magic:#x}, link type {link}")
    at, open_requests, seen = 24, {}, []
    while at < len(capture):
        seconds, nanos, kept, _ = struct.unpack_from("<IIII", capture, at)
        packet, at = capture[at + 16:at + 16 + kept], at + 16 + kept
        header = 14
        ip_length = (packet[header] & 15) * 4
        total, = struct.unpack_from(">H", packet, header + 2)
        tcp = header + ip_length
        source, destination = struct.unpack_from(">HH", packet, tcp)
        payload = total - ip_length - (packet[tcp + 12] >> 4) * 4
        # Exact, as a float of seconds since the epoch is not.
        instant = seconds * 1_000_000_000 + nanos
        if payload <= 0:
            continue
        if destination == port:
            open_requests.setdefault(source, instant)
        elif destination in open_requests:
            seen.append((open_requests.pop(destination), instant))
    return sorted(seen)
