"""What `compare-fetch` measures: its scenarios, their rounds, and what is held against which bound. No command of its
own."""

import gzip
import itertools
import json
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from comparing import alternate
from measuring import Failed, Nginx, in_words, pinned_to, run, spread, status_kib, stop
from tools import PEERS, PYTHON, TOOLS

# Of each client that asks one host.
CONNECTIONS = 64
# The tools, each with the share of the lines that it is given and the bound of ringload's CPU time as a share of its own.
AGAINST = {"aiohttp": (1, 1 / 8), "aiohttp+uvloop": (1, 1 / 8), "ThreadPoolExecutor+requests": (0.1, 1 / 50)}
RATE = 1_000
HOSTS = 1_000
TIMEOUT_S = 2
MIB = 1 << 20


@dataclass(frozen=True)
class Figure:
    """A row of the table. `measured` is the figure in words, `met` whether it is within the bound; None where it has
    none."""

    scenario: str
    what: str
    bound: str
    measured: str
    met: bool | None


class Bench:
    """What was measured so far. `raw` has every run by scenario and figure, `failures` what could not be measured."""

    def __init__(self, args, missing):
        self.args = args
        self.missing = missing
        self.figures = []
        self.raw = []
        self.reports = {}
        self.failures = []

    def measure(self, name):
        """Measures a scenario; yields each figure as soon as it is known."""
        scenario = SCENARIOS[name]
        with ExitStack() as stack:
            self.name = name
            self.nginx = stack.enter_context(Nginx(self.args.server_core, scenario.addresses))
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.args.folder)))
            try:
                for figure in scenario.run(self):
                    self.figures.append(figure)
                    yield figure
            except Failed as failure:
                self.failures.append(f"{name}: {failure}")

    def note(self, what, rounds):
        self.raw.append({"scenario": self.name, "figure": what, "rounds": rounds})

    def list(self, name, urls):
        path = self.folder / name
        with path.open("w") as out:
            out.writelines(f"{url}\n" for url in urls)
        return path

    def one_host(self, path, count):
        """A list of distinct URLs of one host."""
        return self.list(f"{count}-lines", (f"{self.nginx.url}{path}{number:08}" for number in range(count)))

    def ringload(self, urls, *switches, cores=None, all_ok=True, load_s=60):
        """A run over a list, records written; of its records those of `line` and `error`."""
        cores = cores or [self.args.client_core]
        records, report = self.folder / "ringload.jsonl", self.folder / "report.json"
        argv = [self.args.ringload, "fetch", "-i", urls, "-o", records, "--overwrite", "-q", "--no-robots",
                "-t", str(len(cores)), "--report", report, *map(str, switches)]
        self.nginx.settle()
        done = run(argv, cores, load_s)
        said = [json.loads(line) for line in records.open()]
        lines = {record["line"] for record in said}
        if len(lines) != len(said):
            raise Failed("a line has two records")
        failed = sum(not record["ok"] for record in said)
        if failed and all_ok:
            raise Failed(f"{failed} of {len(said)} lines were not answered: {next(r for r in said if not r['ok'])}")
        self.reports.setdefault(self.name, report.read_text())
        return figures(done["cpu_s"], done["wall_s"], len(said), failed), done, said

    def peer(self, tool, urls, save=None):
        script, switches = ("requests", []) if "requests" in tool else ("aiohttp", tool.split("+")[1:])
        argv = [PYTHON, PEERS / f"{script}_fetch.py", urls, "--connections", str(CONNECTIONS),
                "--output", self.folder / "peer.jsonl", *(["--save", save] if save else []), *(f"--{s}" for s in switches)]
        self.nginx.settle()
        said = json.loads(run(argv, [self.args.client_core], 120)["output"])
        if said["failed"]:
            raise Failed(f"{said['failed']} of {tool}'s {said['requests']} URLs were not answered")
        return figures(said["cpu_s"], said["seconds"], said["requests"], said["failed"])


def figures(cpu_s, wall_s, lines, failed):
    return {"lines": lines, "failed": failed, "cpu_us": cpu_s * 1e6 / lines, "wall_s": wall_s, "lines_s": lines / wall_s}


def ratios(rounds, key):
    return spread([done["ringload"][key] / done["other"][key] for done in rounds])


def medians(rounds, key, form):
    """Of both sides, in words."""
    return " / ".join(form.format(statistics.median(done[side][key] for done in rounds)) for side in ("ringload", "other"))


def cpu_against(bench, tool, lists, most, switches, save):
    """A row: the CPU time of a URL as a share of another tool's."""
    ours, theirs = bench.folder / "ours", bench.folder / "theirs"

    def fetched():
        shutil.rmtree(ours, ignore_errors=True)
        return bench.ringload(lists[0], *switches, *(["--save", ours, "--save-as", "line"] if save else []))[0]

    def fetched_by_peer():
        shutil.rmtree(theirs, ignore_errors=True)
        return bench.peer(tool, lists[1], theirs if save else None)

    sides = {"ringload": fetched, "other": fetched_by_peer}
    rounds = alternate(bench.args.rounds, sides, lambda side: side())
    what = f"client CPU a URL, ringload / {tool}"
    bench.note(what, rounds)
    shares = ratios(rounds, "cpu_us")
    each = " and ".join(f"{count:,}" for count in dict.fromkeys(rounds[0][side]["lines"] for side in sides))
    words = f"{in_words(shares, '{:.4f}')} ({medians(rounds, 'cpu_us', '{:.1f}')} µs; {each} URLs)"
    return Figure(bench.name, what, f"≤ 1/{1 / most:.0f} = {most:.4f}", words, shares["median"] <= most)


def opponents(bench, tools):
    return [tool for tool in tools if tool in bench.args.tools and tool not in bench.missing]


def lines(bench):
    for tool in opponents(bench, AGAINST):
        share, most = AGAINST[tool]
        count = bench.args.lines
        lists = [bench.one_host("/items/", size) for size in (count, max(1, int(count * share)))]
        yield cpu_against(bench, tool, lists, most, ["--connections-per-host", CONNECTIONS], save=False)


def save(bench):
    for tool in opponents(bench, ["aiohttp"]):
        lists = [bench.one_host("/bodies/4k?", bench.args.lines)] * 2
        yield cpu_against(bench, tool, lists, 1 / 5, ["--connections-per-host", CONNECTIONS], save=True)


def cores(bench):
    """Two cores against one, where the client is what limits: bodies to decode and to digest; and where it is not."""
    words = random.Random(1).choices([random.Random(n).randbytes(4).hex() for n in range(500)], k=32_000)
    packed = gzip.compress(" ".join(words).encode())
    (Path(bench.nginx.folder.name) / "bodies/words").write_bytes(packed)
    both = [bench.args.client_core, bench.args.server_core]
    for what, path, count, switches, least in (
        ("bodies to decode and digest", "/packed/words?", bench.args.lines // 25, ["--decode", "--sha256"], 1.7),
        ("answers of 12 bytes; the server has half of the second core", "/items/", bench.args.lines, [], None),
    ):
        urls = bench.one_host(path, count)
        switches += ["--connections-per-host", CONNECTIONS]
        sides = {
            "ringload": lambda urls=urls, switches=switches: bench.ringload(urls, *switches, cores=both)[0],
            "other": lambda urls=urls, switches=switches: bench.ringload(urls, *switches)[0],
        }
        rounds = alternate(bench.args.rounds, sides, lambda side: side())
        what = f"URLs a second of one host, two cores / one: {what}"
        bench.note(what, rounds)
        faster = ratios(rounds, "lines_s")
        words = f"{in_words(faster, '{:.2f}')} ({medians(rounds, 'lines_s', '{:,.0f}')})"
        met = None if least is None else faster["median"] >= least
        yield Figure(bench.name, what, f"≥ {least}" if least else "none", words, met)


def rate(bench):
    """By the server's clock."""
    times, count = Path(bench.nginx.folder.name) / "times", max(2 * RATE, min(bench.args.lines, 10 * RATE))
    urls = bench.one_host("/logged/", count)
    for cores in ([bench.args.client_core], [bench.args.client_core, bench.args.server_core]):
        before = times.stat().st_size if times.exists() else 0
        bench.ringload(urls, "--rate", RATE, cores=cores)
        with times.open() as log:
            log.seek(before)
            at = sorted(map(float, log))
        # The first connection may take its time, which is made up for.
        mean = (len(at) - 1 - RATE // 2) / (at[-1] - at[RATE // 2])
        seconds = [int(time_s - at[0]) for time_s in at]
        whole = [seconds.count(second) for second in range(seconds[-1])]
        what = f"--rate {RATE} with all URLs on one host, -t {len(cores)}: requests a second as the server sees them, from 0.5 s on"
        bench.note(what, [{"requests": len(at), "mean": mean, "seconds": whole}])
        each = f"{min(whole)} to {max(whole)} in any whole second, " if whole else ""
        met = len(at) == count and abs(mean / RATE - 1) <= 0.001 and all(abs(n - RATE) <= RATE / 50 for n in whole)
        yield Figure(bench.name, what, f"{RATE} ± 0.1 %, in any second ± 2 %", f"{mean:.2f} ({each}{len(at):,} in all)", met)


def body(bench):
    """Peak memory with a body that is much larger."""
    with (Path(bench.nginx.folder.name) / "bodies/1g").open("wb") as sparse:
        sparse.truncate(1 << 30)
    urls = bench.list("one", [f"{bench.nginx.url}/bodies/1g"])
    # Looked at every millisecond.
    _, done, said = bench.ringload(urls, "--save", bench.folder / "bodies", load_s=0)
    saved = (bench.folder / "bodies" / said[0]["file"]).stat().st_size
    if saved != 1 << 30:
        raise Failed(f"{saved} bytes were saved of 1 GiB")
    peak = done["memory_kib"] / 1024
    what = "peak memory with a body of 1 GiB, saved"
    bench.note(what, [{"peak_mib": peak, "wall_s": done["wall_s"], "cpu_s": done["cpu_s"]}])
    words = f"{peak:.1f} MiB ({done['wall_s']:.1f} s, {done['cpu_s']:.1f} s of CPU)"
    yield Figure(bench.name, what, "≤ 64 MiB", words, peak <= 64)


def endless(bench):
    """Memory while lines come down a pipe."""
    count = bench.args.lines * 10
    records = bench.folder / "endless.jsonl"
    argv = [bench.args.ringload, "fetch", "-i", "-", "-o", records, "-q", "--no-robots", "-t", "1",
            "--connections-per-host", str(CONNECTIONS)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, preexec_fn=pinned_to([bench.args.client_core]))
    written = [0]
    feeder = threading.Thread(target=feed, args=(process.stdin, bench.nginx.url, count, written), daemon=True)
    samples, until = [], time.monotonic() + 600
    try:
        feeder.start()
        while process.poll() is None:
            if time.monotonic() > until:
                raise Failed("it did not end within 600 s")
            samples.append((written[0], status_kib(process.pid, "VmRSS")))
            time.sleep(0.1)
    finally:
        stop(process)
    feeder.join()
    done = sum(1 for _ in records.open())
    if (process.returncode, done) != (0, count):
        raise Failed(f"it exited with {process.returncode}, and {done} of {count} lines have a record")
    # What is prepared at the start is no growth.
    halves = [max(kib for at, kib in samples if kib and low * count <= at <= high * count) / 1024
              for low, high in ((0.1, 0.5), (0.5, 1))]
    what = f"memory over {count:,} lines down a pipe: most in the second half of them / most in the first (from a tenth on)"
    bench.note(what, [{"samples_lines_kib": samples}])
    growth = halves[1] / halves[0]
    words = f"{growth:.3f} ({halves[1]:.1f} / {halves[0]:.1f} MiB)"
    yield Figure(bench.name, what, "flat: ≤ 1.05", words, growth <= 1.05)


def feed(pipe, url, count, written):
    try:
        for first in range(0, count, 1000):
            last = min(first + 1000, count)
            pipe.write("".join(f"{url}/items/{number:08}\n" for number in range(first, last)).encode())
            written[0] = last
        pipe.close()
    except BrokenPipeError:
        # It ended; its exit code says why.
        pass


class Hung:
    """Listens on addresses of 127.1.0.0/16, takes connections and never answers, for as long as the block lasts."""

    def __init__(self, count):
        self.addresses = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(count)]

    def __enter__(self):
        self.listeners = []
        for address in self.addresses:
            port = self.listeners[0].getsockname()[1] if self.listeners else 0
            # The kernel completes connections by itself.
            self.listeners.append(socket.create_server((address, port), backlog=4096))
        return self

    @property
    def origins(self):
        port = self.listeners[0].getsockname()[1]
        return [f"http://{address}:{port}" for address in self.addresses]

    def __exit__(self, *_):
        for listener in self.listeners:
            listener.close()


def hung(bench):
    alive = bench.nginx.origins
    each = max(1, bench.args.lines // len(alive))
    good = [f"{origin}/items/{number}" for number in range(each) for origin in alive]
    with Hung(HOSTS - len(alive)) as servers:
        bad = [f"{origin}/" for origin in servers.origins]
        # Spread over the whole list.
        every = len(good) // len(bad)
        mixed = itertools.chain.from_iterable([url, *good[n * every : (n + 1) * every]] for n, url in enumerate(bad))
        lists = {"ringload": bench.list("mixed", [*mixed, *good[len(bad) * every :]]), "other": bench.list("good", good)}
        switches = ["--retries", 0, "--timeout", f"{TIMEOUT_S}s"]

        def fetched(urls):
            done, _, said = bench.ringload(urls, *switches, all_ok=False)
            kinds = [record["error"]["kind"] for record in said if record["error"]]
            expected = len(bad) if urls == lists["ringload"] else 0
            if kinds.count("timeout") != expected or done["failed"] != expected:
                raise Failed(f"{expected} lines should have timed out; these failed: {dict.fromkeys(kinds)}, {len(kinds)}")
            return done

        rounds = alternate(bench.args.rounds, lists, fetched)
        what = f"{HOSTS:,} hosts of which {len(bad)} hang, one URL each: (total − {TIMEOUT_S} s) / total without them"
        bench.note(what, rounds)
        shares = spread([(r["ringload"]["wall_s"] - TIMEOUT_S) / r["other"]["wall_s"] for r in rounds])
        walls = medians(rounds, "wall_s", "{:.2f}")
        words = f"{in_words(shares, '{:.2f}')} ({walls} s; {len(good):,} lines that are answered)"
        yield Figure(bench.name, what, "≤ 1.2", words, shares["median"] <= 1.2)
        yield given_up(bench, servers.origins, good)


def given_up(bench, hung_origins, good):
    """With many URLs a hung host."""
    each = 100
    urls = bench.list("given-up", [*(f"{o}/{n}" for n in range(each) for o in hung_origins), *good])
    switches = ["--retries", 0, "--timeout", f"{TIMEOUT_S}s"]
    done, _, said = bench.ringload(urls, *switches, all_ok=False, load_s=240)
    kinds = [record["error"]["kind"] if record["error"] else "ok" for record in said]
    counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    what = f"the same with {each} URLs a hung host: how lines end, and after how long the run does"
    bench.note(what, [{**done, "kinds": counts}])
    tried_s = counts.get("timeout", 0) / len(hung_origins) * TIMEOUT_S
    met = counts.get("ok") == len(good) and counts.get("host_down", 0) > 0 and done["lines"] == len(good) + each * len(
        hung_origins) and done["wall_s"] < each * TIMEOUT_S / 2
    words = ", ".join(f"{kind} {count:,}" for kind, count in counts.items())
    return Figure(bench.name, what, "host_down, in less than half of the time of all",
                  f"{words}; {done['wall_s']:.1f} s (timeouts of a host, one after the other: {tried_s:.0f} s)", met)


@dataclass(frozen=True)
class Scenario:
    purpose: str
    run: object
    # How many of them nginx listens on.
    addresses: int = 1


SCENARIOS = {
    "lines": Scenario("distinct URLs of one host, answers of 12 bytes, a line of JSON for each", lines),
    "save": Scenario("the same with bodies of 4 KiB, saved and digested", save),
    "cores": Scenario("one host on two cores", cores),
    "rate": Scenario("an exact rate", rate),
    "body": Scenario("memory with a large body", body),
    "endless": Scenario("memory with endless input", endless),
    "hung": Scenario("hosts that hang", hung, addresses=HOSTS * 9 // 10),
}


def versions(bench):
    """Of the tools that were compared."""
    used = {tool for tool in AGAINST if any(figure.what.endswith(tool) for figure in bench.figures)}
    return [f"- {tool}: {TOOLS[tool].version()}" for tool in AGAINST if tool in used]
