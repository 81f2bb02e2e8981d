"""What is compared: the scenarios, their loads, and the columns of their tables. No command of its own."""

from dataclasses import dataclass
from pathlib import Path

from measuring import LISTENERS


@dataclass(frozen=True)
class Load:
    """What one client is asked to do."""

    connections: int = 64
    path: str = "/"
    body_bytes: int = 12
    chunked: bool = False
    # From a file, if above 0, with as many lines, over this many origins in turn; otherwise one URL.
    lines: int = 0
    origins: int = 1
    # Of nginx's LISTENERS.
    listener: str = "http"
    # HTTP/2 with so many at a time on each connection, if above 0; otherwise HTTP/1.1.
    streams: int = 0
    # Otherwise each request has a connection of its own.
    keep_alive: bool = True

    @property
    def tls(self):
        return LISTENERS[self.listener].scheme == "https"


@dataclass(frozen=True)
class Pair:
    """Two loads under one heading: ringload's and the other tool's, which differ only where ringload is compared with
    itself."""

    heading: str
    ringload: Load
    other: Load


def alike(heading, **load):
    return Pair(heading, Load(**load), Load(**load))


@dataclass(frozen=True)
class Column:
    """A figure of a table. `ahead` says which ratio, ringload / tool, is to ringload's credit; `format` is for either
    side's own figure."""

    head: str
    ahead: str
    format: str


COLUMNS = {
    "rps": Column("requests/s", "above 1", "{:,.0f}"),
    "cpu_us": Column("client CPU µs a request", "below 1", "{:.2f}"),
    "per_cpu_s": Column("handshakes a client CPU second", "above 1", "{:,.0f}"),
    "window_cpu_us": Column("client CPU µs a request, without start-up", "below 1", "{:.2f}"),
    "calls": Column("system calls a request", "below 1", "{:.2f}"),
    "memory_mib": Column("peak memory MiB", "below 1", "{:.1f}"),
    "mb_per_cpu_s": Column("MB of bodies a client CPU second", "above 1", "{:,.0f}"),
    "connection_kib": Column("peak memory KiB a connection", "below 1", "{:.2f}"),
    "more_connection_kib": Column("the same, less a run with one connection", "below 1", "{:.2f}"),
    "startup_s": Column("start-up and end, s", "below 1", "{:.2f}"),
}
USUAL = ("rps", "cpu_us", "calls", "memory_mib")


@dataclass(frozen=True)
class Scenario:
    purpose: str
    pairs: tuple[Pair, ...]
    # None: ringload against itself.
    tools: tuple[str, ...] = ()
    columns: tuple[str, ...] = USUAL
    # Runs are longer than asked for where this is.
    least_s: int = 0
    # The other side is the program of another commit (--before).
    before: bool = False
    # About how much longer than its load a run takes, start-up and end.
    extra_s: float = 0.5


def origins(connections):
    """Lines alike in number, so that only the number of origins differs."""
    load = {"connections": connections, "lines": 1_000}
    return Pair(f"{connections:,} connections, 1,000 origins / 1 origin", Load(**load, origins=1_000), Load(**load))


SCENARIOS = {
    "small": Scenario(
        "answers of 12 bytes",
        (alike("64 connections"),),
        ("wrk", "h2load", "hey", "ab", "oha", "aiohttp", "aiohttp+uvloop", "ThreadPoolExecutor+requests"),
    ),
    "bodies": Scenario(
        "larger bodies, with Content-Length",
        (
            alike("64 KiB, 16 connections", connections=16, path="/bodies/64k", body_bytes=64 << 10),
            alike("1 MiB, 16 connections", connections=16, path="/bodies/1m", body_bytes=1 << 20),
        ),
        ("wrk",),
        ("mb_per_cpu_s", *USUAL),
    ),
    "chunked": Scenario(
        "larger bodies, in chunks of 32 KiB",
        (
            alike("64 KiB, 16 connections", connections=16, path="/chunked/64k", body_bytes=64 << 10, chunked=True),
            alike("1 MiB, 16 connections", connections=16, path="/chunked/1m", body_bytes=1 << 20, chunked=True),
        ),
        ("wrk",),
        ("mb_per_cpu_s", *USUAL),
    ),
    "connections": Scenario(
        "many connections, answers of 12 bytes",
        (alike("1,000 connections", connections=1_000), alike("10,000 connections", connections=10_000)),
        ("wrk",),
        ("rps", "cpu_us", "calls", "connection_kib", "more_connection_kib"),
        extra_s=2.5,
    ),
    "tls": Scenario(
        "TLS 1.3, HTTP/1.1, answers of 12 bytes",
        (alike("64 connections", listener="https"),),
        ("wrk", "h2load", "hey", "ab", "oha"),
    ),
    "tls-handshakes": Scenario(
        "TLS 1.3, HTTP/1.1, a full handshake for each request",
        (alike("64 connections", listener="https-full", keep_alive=False),),
        ("wrk", "hey", "ab", "oha"),
        ("per_cpu_s", *USUAL),
    ),
    "tls-resumed": Scenario(
        "TLS 1.3, HTTP/1.1, a resumed handshake for each request but the first of a session",
        (alike("64 connections", listener="https", keep_alive=False),),
        ("wrk",),
        ("per_cpu_s", *USUAL),
    ),
    "tls-10k": Scenario(
        "many connections under TLS 1.3, HTTP/1.1, answers of 12 bytes",
        (alike("10,000 connections", connections=10_000, listener="https"),),
        ("wrk",),
        # Requests are not compared: wrk opens its connections, some seconds of work, in the time of the load.
        ("connection_kib", "more_connection_kib"),
        least_s=20,
        extra_s=12,
    ),
    "h2": Scenario(
        "HTTP/2 in cleartext, answers of 12 bytes",
        (alike("4 connections x 32 streams", connections=4, streams=32, listener="h2c"),),
        ("h2load", "oha"),
    ),
    "h2-tls": Scenario(
        "HTTP/2 under TLS 1.3, answers of 12 bytes",
        (alike("4 connections x 32 streams", connections=4, streams=32, listener="h2"),),
        ("h2load", "oha"),
    ),
    "origins": Scenario(
        "ringload against itself: many origins, asked in turn",
        (origins(64), origins(1_000)),
    ),
    "lines": Scenario(
        "ringload against itself: many URLs",
        (Pair("64 connections, 10,000,000 lines / 1 line", Load(lines=10_000_000), Load(lines=1)),),
        columns=("rps", "window_cpu_us", "startup_s", "memory_mib"),
        extra_s=8,
    ),
    "before": Scenario(
        "ringload against itself: this program and that of the commit that --before names",
        (alike("64 connections"),),
        columns=("rps", "cpu_us", "window_cpu_us", "calls", "memory_mib"),
        before=True,
    ),
}

# What needs no further argument.
ALL = [name for name, scenario in SCENARIOS.items() if not scenario.before]


def targets(load, nginx, folder):
    """The part of a command line that says what to ask for. A file of lines is written once."""
    if not load.lines:
        return [nginx.urls[load.listener] + load.path]
    file = Path(folder) / f"{load.lines}-lines-{load.origins}-origins"
    if not file.exists():
        with file.open("w") as out:
            out.writelines(f"{nginx.origins[number % load.origins]}{load.path}?{number:08}\n"
                           for number in range(load.lines))
    return ["-i", str(file)]
