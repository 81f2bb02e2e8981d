"""Measures pairs of clients: who runs when, and what is made of their runs. No command of its own."""

import socket
import ssl
import statistics
import sys
import tempfile
import urllib.request
from dataclasses import replace

from measuring import Failed, Nginx, run, spread
from scenarios import SCENARIOS, targets
from tools import TOOLS, read_ringload, ringload_command, ringload_lacks

# Sides that are no tools: the program that is compared, and that of another commit.
ITSELF = "ringload"
BEFORE = "before"
# Numbers of calls vary little.
CALL_ROUNDS = 3


class Comparison:
    """What was measured so far. `raw` has every run, `outputs` the first output of each client by scenario, load, tool
    and side, `failures` what could not be measured."""

    def __init__(self, args, missing):
        self.args = args
        self.missing = missing
        self.tables = {}
        self.raw = []
        self.outputs = {}
        self.failures = []

    def opponents(self, scenario):
        if not scenario.tools:
            return [BEFORE if scenario.before else ITSELF]
        return [tool for tool in scenario.tools if tool in self.args.tools and tool not in self.missing]

    def counts_calls(self, scenario):
        return "calls" in scenario.columns and "perf" not in self.missing

    def rows(self, name):
        """Measures a scenario; yields a row of its table as soon as it is known."""
        scenario = SCENARIOS[name]
        table = self.tables[name] = []
        most_origins = max(load.origins for pair in scenario.pairs for load in (pair.ringload, pair.other))
        with Nginx(self.args.server_core, most_origins) as nginx, tempfile.TemporaryDirectory() as folder:
            for pair in scenario.pairs:
                check_answer(nginx, pair.ringload)
                lacks = ringload_lacks(self.args.ringload, pair.ringload)
                if lacks:
                    self.missing[f"ringload in {name}"] = f"it has no {' and no '.join(lacks)}; the others ran alone"
                for tool in self.opponents(scenario):
                    try:
                        table.append(self.compare(name, nginx, folder, pair, tool, alone=bool(lacks)))
                    except Failed as failure:
                        self.note(f"{name}, {pair.heading}, {tool}: {failure}")
                        continue
                    yield table[-1]

    def note(self, failure):
        self.failures.append(failure)
        print(failure, file=sys.stderr)

    def compare(self, name, nginx, folder, pair, tool, alone):
        """A row. `alone`: of the tool without ringload."""
        scenario = SCENARIOS[name]
        seconds = max(self.args.seconds, scenario.least_s)
        sides = {} if alone else {"ringload": Side(self.args, nginx, folder, ITSELF, pair.ringload, seconds)}
        sides["other"] = Side(self.args, nginx, folder, tool, pair.other, seconds)
        one_too = "more_connection_kib" in scenario.columns
        rounds = alternate(self.args.rounds, sides, lambda side: side.figures(one_too))
        calls = []
        if self.counts_calls(scenario):
            try:
                calls = alternate(CALL_ROUNDS, sides, lambda side: {"calls": side.calls_a_request()})
            except Failed as failure:
                # What was measured before is worth keeping.
                self.note(f"{name}, {pair.heading}, {tool}, system calls: {failure}")
        case = {"scenario": name, "load": pair.heading, "tool": tool}
        for side, client in sides.items():
            self.outputs[(*case.values(), side)] = client.first_output
        self.raw.append({**case, "rounds": rounds, "rounds_of_calls": calls})
        return {
            "tool": tool,
            "heading": pair.heading,
            "cells": {key: cell(calls if key == "calls" else rounds, key) for key in scenario.columns},
            "failed": {side: [sum(r[side][key] for r in rounds) for key in ("failed", "requests")] for side in sides},
        }


def alternate(rounds, sides, measure):
    """Each side first in every other round."""
    done = []
    for number in range(rounds):
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        done.append({"order": order, **{side: measure(sides[side]) for side in order}})
    return done


def cell(rounds, key):
    """Medians of both sides and the spread of the ratio; none where it was not measured, no ratio of one side alone."""
    if not rounds:
        return None
    sides = rounds[0]["order"]
    medians = {side: statistics.median(r[side][key] for r in rounds) for side in sides}
    if len(sides) < 2:
        return medians
    return {"ratio": spread([r["ringload"][key] / r["other"][key] for r in rounds]), **medians}


class Side:
    """One client of a pair, with its load."""

    def __init__(self, args, nginx, folder, name, load, seconds):
        self.client_core = args.client_core
        # Where the client is ringload itself, or once was.
        self.program = {ITSELF: args.ringload, BEFORE: args.before_program}.get(name)
        self.nginx = nginx
        self.load = load
        self.seconds = seconds
        self.name = name
        self.targets = targets(load, nginx, folder)
        self.own_window = not self.program and TOOLS[name].own_window
        self.first_output = None

    def command(self, load, seconds):
        if self.program:
            return ringload_command(self.program, self.targets, load, seconds)
        return TOOLS[self.name].command(self.targets, load, seconds)

    def run(self, load, seconds, before=()):
        """A run, and what the client says of it."""
        self.nginx.settle()
        # What delays the load also delays its end, after which memory is looked at often.
        opening_s = load.connections / (1e3 if load.tls else 1e4)
        load_s = seconds + load.lines / 1e6 + opening_s + (5 if self.own_window else 0)
        done = run([*before, *self.command(load, seconds)], [self.client_core], load_s)
        self.first_output = self.first_output or done["output"]
        read = read_ringload if self.program else TOOLS[self.name].read
        try:
            said = read(done["output"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Failed(f"what {self.name} printed is not what this script expects of it: {error!r}") from error
        if said["requests"] == 0:
            raise Failed(f"{self.name} made no request")
        return done, said

    def figures(self, one_too):
        """The figures of one run. `one_too`: also what a connection adds to a run with one."""
        done, said = self.run(self.load, self.seconds)
        source = said if self.own_window else done
        memory_kib, cpu_us = source["memory_kib"], source["cpu_s"] * 1e6 / said["requests"]
        figures = {
            "requests": said["requests"],
            "failed": said["failed"],
            "rps": said["rps"],
            "cpu_us": cpu_us,
            "per_cpu_s": 1e6 / cpu_us,
            "memory_mib": memory_kib / 1024,
            "mb_per_cpu_s": self.load.body_bytes / cpu_us,
            "connection_kib": memory_kib / self.load.connections,
        }
        if self.program:
            figures["window_cpu_us"] = said["window_cpu_s"] * 1e6 / said["requests"]
            figures["startup_s"] = done["wall_s"] - said["window_s"]
            figures["commit"] = said["commit"]
        if one_too:
            one = self.run(replace(self.load, connections=1), 1)[0]
            figures["more_connection_kib"] = (memory_kib - one["memory_kib"]) / (self.load.connections - 1)
        return figures

    def calls_a_request(self):
        """Where the tool's own window is what counts, by the difference of two lengths, so that start-up falls out."""
        calls, requests = self.calls(self.seconds)
        if self.own_window:
            more_calls, more_requests = self.calls(3 * self.seconds)
            calls, requests = more_calls - calls, more_requests - requests
            if requests <= 0:
                raise Failed(f"{self.name} made no more requests in three times the time; give it more --seconds")
        return calls / requests

    def calls(self, seconds):
        """System calls of one run, and its requests."""
        with tempfile.NamedTemporaryFile("r") as counted:
            perf = ["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-o", counted.name, "--"]
            _, said = self.run(self.load, seconds, perf)
            line = next(line for line in counted if "sys_enter" in line)
        return int(line.split(",")[0]), said["requests"]


def check_answer(nginx, load):
    """The answer is as the load says, and TLS and HTTP/2 are spoken where they should be: else the scenario would
    measure something else."""
    if load.tls:
        check_handshake(nginx, load)
    # HTTP/2 is beyond this client; all listeners have the same paths.
    with urllib.request.urlopen(nginx.url + load.path, timeout=5) as answer:
        size, chunked = len(answer.read()), answer.headers.get("Transfer-Encoding") == "chunked"
    if (size, chunked) != (load.body_bytes, load.chunked):
        sys.exit(f"nginx answers {load.path} with {size} bytes, chunked: {chunked}; expected of it was {load}")


def check_handshake(nginx, load):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    wanted = "h2" if load.streams else "http/1.1"
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(("127.0.0.1", nginx.ports[load.listener]), 5) as tcp, context.wrap_socket(tcp) as tls:
        spoken = tls.version(), tls.selected_alpn_protocol()
    if spoken != ("TLSv1.3", wanted):
        sys.exit(f"nginx speaks {spoken}; expected of it was {load}")
