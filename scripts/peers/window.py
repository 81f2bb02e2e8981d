"""The measured window of the Python clients: what lies before and after it is not counted. No command of its own."""

import argparse
import json
import math
import resource
import time


def parse_arguments(doc, **switches):
    """URL, connections and seconds, and whatever switches the client has of its own: {name: help}."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    for name, help_text in switches.items():
        parser.add_argument(f"--{name}", action="store_true", help=help_text)
    return parser.parse_args()


class Window:
    """From its making to its report: wall time, and CPU time of the whole process, user and system."""

    def __init__(self, seconds=math.inf):
        self.cpu_s = cpu_s()
        self.started = time.monotonic()
        self.end = self.started + seconds

    def is_open(self):
        return time.monotonic() < self.end

    def report(self, requests, failed):
        """Prints a line of JSON. The window ends here: with the last answer, and not before."""
        seconds, cpu = time.monotonic() - self.started, cpu_s() - self.cpu_s
        print(json.dumps({
            "requests": requests, "failed": failed, "seconds": seconds, "cpu_s": cpu, "memory_kib": peak_memory_kib(),
        }))


def cpu_s():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_memory_kib():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
