"""Each truth that `measure-truth` holds ringload against: how it is measured, and what must come out.

No command of its own.
"""

import json
import math
import os
import re
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import laws
from measuring import (RINGLOAD, Failed, Nginx, Stolen, in_words, pinned_to, run, shown, spread, stop, timers_us,
                       without_bulk)
from tools import TOOLS, oha
from wire import Capture

# Of the client's core the hypervisor may keep so much while a server's stop is judged: a quarter of what p99 bears.
STOLEN_MAX = 0.0025
MARKS = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}


@dataclass
class Measured:
    """`raw` goes to a file as it is, `misses` say what was not as it must be, `outputs` is text by its name."""

    table: str
    raw: object
    misses: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Truth:
    """`reading` says how its table is read; runs and seconds are what it is measured with unless told otherwise."""

    purpose: str
    reading: str
    measure: Callable
    runs: int
    seconds: int


class Target:
    """The embedded server, one thread, for as long as the block lasts."""

    def __init__(self, core):
        self.core = core

    def __enter__(self):
        self.process = subprocess.Popen([RINGLOAD, "target", "-t", "1"], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, preexec_fn=pinned_to([self.core]), text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            self.__exit__()
            raise Failed("the embedded target did not start")
        self.url = line.split()[-1].rstrip("/")
        return self

    def __exit__(self, *_):
        stop(self.process)
        self.process.stdout.close()


def bench_command(url, *options):
    return [RINGLOAD, "bench", url, "--quiet", "--format", "json", "-t", "1", *map(str, options)]


def bench(core, url, *options, seconds=60):
    return json.loads(run(bench_command(url, *options), [core], seconds)["output"])


def with_stop(argv, core, victim, at_s, stop_s):
    """Runs a client and stops a process meanwhile: `victim` makes of the client's pid the one to stop. What the client
    printed, and for how long the process stood still."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.DEVNULL, preexec_fn=pinned_to([core]))
        pid = victim(process.pid)
        try:
            time.sleep(at_s)
            os.kill(pid, signal.SIGSTOP)
            stopped = time.monotonic()
            time.sleep(stop_s)
            length_s = time.monotonic() - stopped
            os.kill(pid, signal.SIGCONT)
            code = process.wait(120)
        finally:
            # A process that stands still would not hear that it has to end.
            if process.poll() is None:
                os.kill(pid, signal.SIGCONT)
            stop(process)
        if code != 0:
            raise Failed(f"`{shown(argv)}` exited with {code}")
        output.seek(0)
        return output.read(), length_s


def left_alone(core, runs, measure, most=STOLEN_MAX):
    """Measures until the hypervisor left a core alone during `runs` of the runs, four times as often at most: what each
    came to, which share of the core was stolen meanwhile, and whether the run counts."""
    counted = 0
    for _ in range(4 * runs):
        with Stolen(core) as stolen:
            measured = measure()
        counts = stolen.share <= most
        counted += counts
        yield measured, stolen.share, counts
        if counted == runs:
            return


def response_s(report, mark):
    value = report["latency_us"]["response"][mark]
    return None if value is None else value / 1e6


def marks_of(ascending):
    return {mark: laws.quantile(ascending, q) for mark, q in MARKS.items()}


def label(mark):
    """As a table's head has it."""
    return mark.replace("_", ".")


def table(heads, rows):
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def pauses(args, runs, seconds):
    """Method T4: stops of 2 s of a server that is busy for a part of the time."""
    rate, connections, stop_s = 1_000, 100, 2
    rows, raw, misses = [], [], []
    for service in ("250us", "500us"):
        for number in range(runs):
            with Target(args.server_core) as target:
                url = f"{target.url}/queue?fixed={service}"
                most = bench(args.client_core, url, "-c", connections, "-d", "2s")["rate_per_s"]["completed"]
                output, stopped_s = with_stop(
                    bench_command(url, "-R", rate, "-c", connections, "-d", f"{seconds}s"), args.client_core,
                    lambda _: target.process.pid, seconds / 3, stop_s)
            report, utilisation = json.loads(output), rate / most
            law = {mark: laws.pause_quantile(q, stopped_s, seconds, utilisation)
                   for mark, q in (("p99", 0.99), ("p99_9", 0.999), ("max", 1))}
            law["mean"] = laws.pause_mean(stopped_s, seconds, utilisation)
            found = {mark: response_s(report, mark) for mark in law}
            case = f"busy {utilisation:.3f}, run {number + 1}"
            for mark, expected in law.items():
                if abs(found[mark] - expected) > 0.03 * expected:
                    misses.append(f"{case}: {mark} is {found[mark]:.4f} s, the law says {expected:.4f} s")
            rows.append([case, f"{stopped_s:.4f}", *(f"{found[mark]:.4f} / {law[mark]:.4f}" for mark in law),
                         report["health"]["verdict"]])
            raw.append({"utilisation": utilisation, "stop_s": stopped_s, "law_s": law,
                        "report": without_bulk(report)})
    heads = ["server", "stop, s", *(f"{label(mark)}, s: found / law" for mark in law), "verdict"]
    return Measured(table(heads, rows), raw, misses)


def queue(args, runs, seconds):
    """Method T10: one server, 200 a second, asked for 160 a second. The loads run beside each other: together they use a few
    percent of a core, and what is measured is waiting."""
    even, plain = "even arrivals, exponential services", "even arrivals, 5 ms each, no queue"
    cases = {
        "Poisson arrivals, exponential services": ("poisson", "queue?exp=5ms", [25.0, 17.3, 57.6, 115.1, 172.7]),
        even: ("uniform", "queue?exp=5ms", [13.5, 9.3, 31.0, 62.0, 93.0]),
        "Poisson arrivals, fixed services": ("poisson", "queue?fixed=5ms", [15.0, None, None, None, None]),
        plain: ("uniform", "delay/5", [None] * 5),
    }

    def one(case):
        arrivals, path, _ = cases[case]
        with Target(args.server_core) as target:
            return bench(args.client_core, f"{target.url}/{path}", "-R", 160, "--arrivals", arrivals, "-d", f"{seconds}s",
                         "-c", 500, "--drain", "20s", seconds=seconds)

    with ThreadPoolExecutor(len(cases)) as pool:
        reports = dict(zip(cases, pool.map(one, cases)))
    found = {case: [response_s(report, mark) * 1e3 for mark in ("mean", *MARKS)] for case, report in reports.items()}
    exact = laws.even_arrivals(160, 160 * seconds, 0.005)
    exact_ms = [statistics.fmean(exact) * 1e3, *(laws.quantile(exact, q) * 1e3 for q in MARKS.values())]
    # The way there and back, and each time that client and server wake up on it.
    mean_added, median_added = (value - 5 for value in found[plain][:2])
    by_recursion = [e + added for e, added in zip(exact_ms, [mean_added, *[median_added] * len(MARKS)])]
    rows, misses = [], []
    for case, report in reports.items():
        expected = cases[case][2]
        # The largest thousandth of a run is a handful of busy periods: told, and not judged.
        for mark, f, e in list(zip(("mean", *MARKS), found[case], expected))[:4]:
            if e and abs(f / e - 1) > 0.12:
                misses.append(f"{case}: {mark} is {f:.1f} ms, theory says {e} ms")
        rows.append([case, *(f"{f:.2f} / {e or 'n/a'}" for f, e in zip(found[case], expected)),
                     report["health"]["verdict"]])
        if case == even:
            for mark, f, e in zip(("mean", *MARKS), found[case], by_recursion):
                if abs(f - e) > max(0.3, 0.002 * e):
                    misses.append(f"{case}: {mark} is {f:.2f} ms, the recursion says {e:.2f} ms")
            for name, law in (("the same by its recursion alone", exact_ms),
                              ("the same by its recursion and what the last row adds to 5 ms", by_recursion)):
                rows.append([name, *(f"{f:.2f} / {e:.2f}" for f, e in zip(found[case], law)), ""])
    heads = ["load", *(f"{label(mark)}, ms: found / expected" for mark in ("mean", *MARKS)), "verdict"]
    return Measured(table(heads, rows), {case: without_bulk(report) for case, report in reports.items()}, misses)


def stops(args, runs, seconds):
    """Stops of 1 s of the client and of the server, and of 50 ms of the client."""
    rows, raw, misses = [], [], []
    with Nginx(args.server_core) as nginx:
        for who, stop_s in (("client", 1), ("server", 1), ("client", 0.05)):
            # A short stop needs no long run.
            length_s = seconds if stop_s == 1 else max(4, seconds // 5)
            # A client that stood still has to find that out whatever else happens to it.
            most = 1 if who == "client" else STOLEN_MAX
            judged = good = 0
            for number, ((report, stopped_s), stolen, counts) in enumerate(left_alone(
                    args.client_core, runs, lambda: stopped(args, nginx, who, stop_s, length_s), most), 1):
                health, why = report["health"], stop_is_wrong(who, stopped_s, report["health"])
                judged, good = judged + counts, good + (counts and not why)
                if why and counts:
                    misses.append(f"{who}, {stop_s} s, run {number}: {why}")
                rows.append([f"{who}, {stop_s} s", number, f"{stolen:.2%}", f"{stopped_s * 1e3:.1f}",
                             f"{health['stalls']['longest_ms']:.1f}", f"{response_s(report, 'p99') * 1e3:.1f}",
                             health["quantiles"]["p99"], health["quantiles"]["p99_9"], health["verdict"],
                             health["cause"] or "none",
                             ("" if counts else "not judged: ") + (f"no: {why}" if why else "yes")])
                raw.append({"stopped": who, "stop_s": stopped_s, "stolen": stolen, "report": without_bulk(report)})
            rows.append([f"{who}, {stop_s} s", "all", *[""] * 8, f"{good} of {judged}"])
            if judged < runs:
                misses.append(f"{who}, {stop_s} s: only {judged} of {number} runs could be judged")
    heads = ["stopped", "run", "stolen", "stop, ms", "longest stall, ms", "p99, ms", "p99", "p99.9", "verdict", "cause",
             "as it should be"]
    return Measured(table(heads, rows), raw, misses)


def stopped(args, nginx, who, stop_s, length_s):
    """One run with a stop in it: its report, and how long the stop was."""
    command = bench_command(f"{nginx.url}/", "-R", 2_000, "-c", 100, "-d", f"{length_s}s")
    victim = nginx.worker()
    output, stopped_s = with_stop(command, args.client_core, lambda pid: pid if who == "client" else victim, length_s / 3,
                                  stop_s)
    return json.loads(output), stopped_s


def stop_is_wrong(who, stopped_s, health):
    """What is not as it must be, or nothing."""
    stall_ms, stop_ms = health["stalls"]["longest_ms"], stopped_s * 1e3
    if who == "server":
        if health["quantiles"]["p99"] == "INVALID":
            return "p99 is INVALID"
        if health["cause"] in ("client stall", "client-limited"):
            return f"the cause is {health['cause']}"
        return "the ledger has it" if stall_ms > 0.05 * stop_ms else ""
    if abs(stall_ms - stop_ms) > (5 if stop_ms > 500 else 2):
        return f"the ledger has {stall_ms:.1f} ms"
    if stop_ms > 500:
        if (health["quantiles"]["p99"], health["quantiles"]["p99_9"]) != ("INVALID", "INVALID"):
            return "p99 or p99.9 is not INVALID"
        if health["cause"] != "client stall":
            return f"the cause is {health['cause']}"
    return ""


def rates(args, runs, seconds):
    """Open loads at rates from idle to busy."""
    rows, raw, misses = [], [], []
    with Nginx(args.server_core) as nginx:

        def once(rate):
            nginx.settle()
            timers = marks_of(timers_us(args.client_core))
            options = ["-R", rate, "-d", f"{seconds}s"]
            return timers, bench(args.client_core, f"{nginx.url}/", *options, seconds=seconds)

        for rate in (1_000, 10_000, 50_000):
            every = list(left_alone(args.client_core, runs, lambda: once(rate)))
            raw += [{"rate": rate, "stolen": stolen, "judged": counts, "timers_us": timers, "report": without_bulk(report)}
                    for (timers, report), stolen, counts in every]
            if sum(counts for _, _, counts in every) < runs:
                misses.append(f"{rate:,}/s: the hypervisor left the core alone in too few of {len(every)} runs: all count")
                every = [(measured, stolen, True) for measured, stolen, _ in every]
            judged = [(timers, report) for (timers, report), _, counts in every if counts]
            # None where hardly anything could be sent.
            lag = {mark: [report["latency_us"]["client_lag"][mark] or math.inf for _, report in judged]
                   for mark in ("p50", "p99")}
            bare = {mark: [timers[mark] for timers, _ in judged] for mark in lag}
            errors = [report["counts"]["sent"] / (rate * seconds) - 1 for _, report in judged]
            for mark, limit in (("p50", 100), ("p99", 250)):
                if statistics.median(lag[mark]) > limit:
                    misses.append(f"{rate:,}/s: client lag {mark} is {statistics.median(lag[mark]):.0f} us, above {limit}")
            for (_, report), error in zip(judged, errors):
                if report["health"]["verdict"] == "OK" and abs(error) > 0.001:
                    misses.append(f"{rate:,}/s: {error:+.3%} of the rate, and the verdict is OK")
            rows.append([f"{rate:,}/s", f"{len(judged)} of {len(every)}",
                         *(in_words(spread(of[mark]), "{:.1f}") for of in (lag, bare) for mark in lag),
                         f"{min(errors):+.4%} to {max(errors):+.4%}", said([report for _, report in judged])])
    heads = ["rate", "runs judged", "client lag p50, us", "client lag p99, us", "bare timers p50, us",
             "bare timers p99, us", "sent − intended", "verdicts"]
    return Measured(table(heads, rows), raw, misses)


def said(reports):
    verdicts = [report["health"]["verdict"] + (f" ({report['health']['cause']})" if report["health"]["cause"] else "")
                for report in reports]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts)))


def wire(args, runs, seconds):
    """Method T18: 2,000 a second against nginx, seen by tcpdump on the loopback."""
    rate, rows, raw, misses = 2_000, [], [], []
    with Nginx(args.server_core) as nginx:
        for number in range(runs):
            nginx.settle()
            timers = marks_of(timers_us(args.client_core))
            with Capture(nginx.ports["http"], args.server_core) as capture:
                report = bench(args.client_core, f"{nginx.url}/", "-R", rate, "-n", rate * seconds, "-c", 64)
                seen = capture.finish()
            if len(seen) != rate * seconds:
                raise Failed(f"tcpdump saw {len(seen)} requests, not {rate * seconds}")
            t0 = report["run"]["t0_unix_ns"]
            seen_us = {
                "service": sorted((answer - request) / 1e3 for request, answer in seen),
                "lateness of requests": sorted((request - t0 - at * 1e9 / rate) / 1e3
                                               for at, (request, _) in enumerate(seen)),
                "response": sorted((answer - t0 - at * 1e9 / rate) / 1e3 for at, (_, answer) in enumerate(seen)),
            }
            ours = {"service": "service", "lateness of requests": "client_lag", "response": "response"}
            case = {"run": number + 1, "timers_us": timers, "report": without_bulk(report), "wire_us": {}}
            for name, wire_us in seen_us.items():
                of_wire = {"mean": statistics.fmean(wire_us), **marks_of(wire_us)}
                of_report = {mark: report["latency_us"][ours[name]][mark] for mark in of_wire}
                case["wire_us"][name] = of_wire
                rows.append([number + 1, f"{name} ({ours[name]})",
                             *(f"{of_report[mark]:.1f} − {of_wire[mark]:.1f} = {of_report[mark] - of_wire[mark]:+.1f}"
                               for mark in of_wire), report["health"]["verdict"]])
                misses += wire_misses(number + 1, name, of_report, of_wire)
            rows.append([number + 1, "bare timers just before", "", *(f"{timers[mark]:.1f}" for mark in MARKS), ""])
            raw.append(case)
    heads = ["run", "what", *(f"{label(mark)}, us: report − wire" for mark in ("mean", *MARKS)), "verdict"]
    return Measured(table(heads, rows), raw, misses)


def wire_misses(number, name, of_report, of_wire):
    """Times of answers include the way from the wire to us, so are longer, and a little only; a request is on the wire a
    little after it was handed over."""
    sign, limits = (-1, {"p99": 100}) if name.startswith("lateness") else (1, {"p50": 30, "p99": 200})
    for mark, limit in limits.items():
        extra = sign * (of_report[mark] - of_wire[mark])
        # Values of a report are rounded to 0.1 %.
        if not -0.001 * of_wire[mark] - 0.5 <= extra <= limit:
            yield f"run {number}: {name} {mark} differs by {extra:.1f} us, not by 0 to {limit}"


def peers(args, runs, seconds):
    """Method T3 with what others print: nginx stands still for 1 s under a load of 1,000 a second, or as much as a closed
    load makes."""
    for tool in ("wrk", "hey", "oha"):
        TOOLS[tool].install()
    commands = {
        "ringload, 1,000/s": lambda url: bench_command(url, "-R", 1_000, "-c", 100, "-d", f"{seconds}s"),
        "ringload, closed": lambda url: bench_command(url, "-c", 100, "-d", f"{seconds}s"),
        "oha, 1,000/s": lambda url: oha_command(url, seconds, "-q", "1000"),
        "oha, 1,000/s, corrected": lambda url: oha_command(url, seconds, "-q", "1000", "--latency-correction"),
        "hey, 1,000/s": lambda url: ["hey", "-cpus", "1", "-c", "100", "-q", "10", "-z", f"{seconds}s", url],
        "wrk, closed": lambda url: ["wrk", "-t1", "-c100", f"-d{seconds}s", "--latency", url],
    }
    rows, raw, outputs = [], [], {}
    with Nginx(args.server_core) as nginx:
        worker = nginx.worker()
        for name, command in commands.items():
            for number in range(runs):
                nginx.settle()
                output, stopped_s = with_stop(command(f"{nginx.url}/"), args.client_core, lambda _: worker, seconds / 3, 1)
                printed = printed_s(name, output)
                if name.startswith("ringload"):
                    output = json.dumps(without_bulk(json.loads(output)), indent=1) + "\n"
                outputs.setdefault(name, output)
                raw.append({"tool": name, "run": number + 1, "stop_s": stopped_s, "printed_s": printed})
                rows.append([name, *(cell_s(printed.get(mark)) for mark in ("p50", "p95", "p99", "p99_9", "max"))])
    law = {mark: laws.pause_quantile(q, 1, seconds, 0.01) for mark, q in (("p99", 0.99), ("p99_9", 0.999), ("max", 1))}
    rows.append(["what users at 1,000/s saw, by the law", "as without a stop", "as without a stop",
                 *(cell_s(law[mark]) for mark in law)])
    heads = ["tool and load", *(f"{mark}, s" for mark in ("p50", "p95", "p99", "p99.9", "max"))]
    return Measured(table(heads, rows), raw, [], outputs)


def oha_command(url, seconds, *options):
    return [oha(), "--no-tui", "--output-format", "json", "-c", "100", "-z", f"{seconds}s", *options, url]


def cell_s(value):
    return "not printed" if value is None else f"{value:.4f}"


def printed_s(name, output):
    """What a tool prints of its latencies, in seconds."""
    if name.startswith("ringload"):
        report = json.loads(output)
        return {mark: response_s(report, mark) for mark in ("p50", "p95", "p99", "p99_9", "max")}
    if name.startswith("oha"):
        report = json.loads(output)
        percentiles = report["latencyPercentiles"]
        return {**{mark: percentiles[label(mark)] for mark in ("p50", "p95", "p99", "p99_9")},
                "max": report["summary"]["slowest"]}
    if name.startswith("hey"):
        found = {f"p{percent}": float(value) for percent, value in re.findall(r"(\d+)% in ([\d.]+) secs", output)}
        return {**found, "max": float(re.search(r"Slowest:\s+([\d.]+)", output)[1])}
    unit = {"us": 1e-6, "ms": 1e-3, "s": 1}
    found = {f"p{percent}": float(value) * unit[scale]
             for percent, value, scale in re.findall(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s)$", output, re.MULTILINE)}
    value, scale = re.search(r"Latency(?:\s+[\d.]+(?:us|ms|s)){2}\s+([\d.]+)(us|ms|s)", output).groups()
    return {**found, "max": float(value) * unit[scale]}


TRUTHS = {
    "stops": Truth(
        "a stop of the client is the client's, one of the server the server's",
        "An open load of 2,000/s against nginx. By the percentiles alone nobody could tell who stood still: a client that "
        "did must find p99 and p99.9 INVALID, with the cause `client stall` and a stall of that length (within 5 ms; a stop "
        "of 50 ms within 2 ms); with a server that did, p99 must not be INVALID, nor the client the cause. Where the "
        f"hypervisor then kept more than {STOLEN_MAX:.2%} of the client's core by /proc/stat, the run is shown and another one "
        "judged: p99 has 1 % of the time to lose, and half of that makes it INVALID.",
        stops, runs=10, seconds=20),
    "rates": Truth(
        "how late requests are sent, and how exactly at the rate",
        "Each row: min–**median**–max of the client lag over the runs; of how late the core's bare timers were, a thousand a "
        "second for 2 s before each run; the relative error of the rate, and the reports' own verdicts. Judged are runs during "
        f"which the hypervisor kept at most {STOLEN_MAX:.2%} of the client's core by /proc/stat, the others being in raw.json. "
        "Required: a median of 100 us at p50 and of 250 us at p99 at most; within 0.1 % of the rate where the verdict is OK.",
        rates, runs=5, seconds=10),
    "wire": Truth(
        "tcpdump's clock beside the report's",
        "An open load of 2,000/s against nginx on the loopback. Service: from a request's packet to the first of its answer; "
        "lateness: of a request's packet, behind its place in the schedule since T0; response: their sum. The quantiles of the "
        "two are subtracted, not those of each request. Bare timers: how late those of the client's core were, before each run. "
        "Required of report − wire: 0 to 30 us at p50 and 0 to 200 us at p99 "
        "of times of answers; requests at most 100 us later on the wire than by the report at p99.",
        wire, runs=3, seconds=5),
    "peers": Truth(
        "what other tools print of a server that stands still for a second",
        "1 s of 20 s is 5 % of the time: at 1,000 requests a second, 1,000 users came while nobody was served, and so waited "
        "for half a second on the average. Tools that wait for an answer before they go on, or time from the moment they got "
        "to send, ask the stopped server one question a connection.",
        peers, runs=1, seconds=20),
    "queue": Truth(
        "the response times of a queue against queueing theory",
        "The embedded target as one server of 200/s, asked for 160/s, until each quantile of the service times was dealt once. "
        "Theory: M/M/1, D/M/1 and M/D/1; required are the mean and quantiles up to p99 within 12 %. Where the arrivals are even, "
        "everything is known in advance, the services being dealt by the request's number: there the mean and the quantiles "
        "must be those of the recursion to within 0.3 ms or 0.2 %, beyond what the same load takes above 5 ms where nothing "
        "queues (mean and median), on the same cores at the same time.",
        queue, runs=1, seconds=410),
    "pauses": Truth(
        "a stop of a server that is busy for a part of the time",
        "The embedded target serves one request at a time, for 0.25 or 0.5 ms each, at 1,000 requests a second, and is stopped "
        "for 2 s. The law: p_q = T − (1 − q)(1 − rho) D, the mean T² / (2 D (1 − rho)), rho being the rate by what it answered "
        "at most just before. Required: within 3 %.",
        pauses, runs=2, seconds=60),
}
