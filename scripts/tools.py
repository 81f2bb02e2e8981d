"""The load generators that are compared: how each is installed, called and read. No command of its own."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measuring import CACHE, ROOT, first_line, install_missing, shown
from scenarios import Load

VENV = CACHE / "venv"
PYTHON = str(VENV / "bin/python")
PEERS = ROOT / "scripts/peers"


@dataclass(frozen=True)
class Tool:
    """`command` makes a command line of targets (a URL), a load and seconds; `read` makes of its output how many
    requests were made, how many of these failed, and how many a second there were. No tool verifies certificates.

    Where `own_window` holds, the tool measures its CPU time itself, without start-up.
    """

    install: Callable[[], None]
    command: Callable[[list[str], Load, int], list[str]]
    read: Callable[[str], dict]
    version: Callable[[], str]
    own_window: bool = False


def install(names):
    """Installs tools; for those that could not be: {name: why}."""
    missing = {}
    for name in names:
        try:
            TOOLS[name].install()
        except subprocess.CalledProcessError as error:
            missing[name] = f"`{shown(error.cmd)}` exited with {error.returncode}"
        except OSError as error:
            missing[name] = str(error)
        if name in missing:
            print(f"{name} is left out, as it could not be installed: {missing[name]}", file=sys.stderr)
    return missing


def debian(command, package):
    return lambda: install_missing({command: package})


def install_oha():
    if not shutil.which(oha()):
        print(f"building oha in {CACHE}; this takes minutes", file=sys.stderr)
        subprocess.run(["cargo", "install", "--locked", "--quiet", "oha", "--root", CACHE], check=True)


def oha():
    return shutil.which("oha") or str(CACHE / "bin/oha")


def pypi(*packages):
    def install_packages():
        if not Path(PYTHON).exists():
            if not importlib.util.find_spec("ensurepip"):
                install_missing({"Python's venv": "python3-venv"})
            subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        imports = subprocess.run([PYTHON, "-c", f"import {', '.join(packages)}"], stderr=subprocess.DEVNULL)
        if imports.returncode != 0:
            subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *packages], check=True)

    return install_packages


def pypi_version(*packages):
    def versions():
        code = f"from importlib.metadata import version; print(*[p + ' ' + version(p) for p in {packages}], sep=', ')"
        return f"{first_line(PYTHON, '-c', code)}, {first_line(PYTHON, '--version')}"

    return versions


def ringload_command(binary, targets, load, seconds):
    return [binary, "bench", *targets, "-c", str(load.connections), "-t", "1", "-d", f"{seconds}s",
            "--format", "json", "--quiet", *ringload_switches(load)]


def ringload_switches(load):
    """What is said of a load beyond what each has."""
    if load.streams:
        yield from ("--http", "2", "--streams", str(load.streams))
    if load.tls:
        yield "--insecure"
    if not load.keep_alive:
        yield from ("--keep-alive", "false")
    if load.listener == "https-full":
        yield from ("--tls-session-reuse", "false")


def ringload_lacks(binary, load):
    """Options that a load needs and this program does not have."""
    done = subprocess.run([binary, "bench", "--help"], capture_output=True, text=True)
    return [switch for switch in ringload_switches(load) if switch.startswith("--") and switch not in done.stdout]


def read_ringload(output):
    report = json.loads(output)
    counts = report["counts"]
    return {
        "requests": counts["sent"],
        "failed": counts["intended"] - counts["ok"],
        "rps": report["rate_per_s"]["completed"],
        "window_s": report["window_s"],
        "window_cpu_s": report["client"]["cpu_s"],
        "commit": report["tool"]["commit"],
    }


def read_wrk(output):
    """Its socket errors stand beside its requests, answers other than 2xx and 3xx among them."""
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return {
        "requests": int(re.search(r"(\d+) requests in", output)[1]),
        "failed": sum(map(int, errors.groups() if errors else ())) + (int(refused[1]) if refused else 0),
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]),
    }


def read_h2load(output):
    done, succeeded = re.search(r"(\d+) done, (\d+) succeeded", output).groups()
    return {
        "requests": int(done),
        "failed": int(done) - int(succeeded),
        "rps": float(re.search(r"finished in .*?, ([\d.]+) req/s", output)[1]),
    }


def read_hey(output):
    """Its errors have a list of their own, lines of `[count] text`."""
    answers = {int(status): int(count) for status, count in re.findall(r"\[(\d{3})\]\s+(\d+) responses", output)}
    _, _, distribution = output.partition("Error distribution:")
    errors = sum(map(int, re.findall(r"^\s*\[(\d+)\]", distribution, re.MULTILINE)))
    return {
        "requests": sum(answers.values()) + errors,
        "failed": errors + sum(count for status, count in answers.items() if status >= 400),
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]),
    }


def wrk_command(targets, load, seconds):
    # It resumes sessions where the server lets it, and has no option against it.
    close = [] if load.keep_alive else ["-H", "Connection: close"]
    return ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", *close, *targets]


def h2load_command(targets, load, seconds):
    protocol = [f"-m{load.streams}"] if load.streams else ["--h1"]
    return ["h2load", *protocol, "-t1", f"-c{load.connections}", f"-D{seconds}", *targets]


def hey_command(targets, load, seconds):
    close = [] if load.keep_alive else ["-disable-keepalive"]
    return ["hey", "-cpus", "1", "-c", str(load.connections), "-z", f"{seconds}s", *close, *targets]


def oha_command(targets, load, seconds):
    streams = ["--http2", "-p", str(load.streams)] if load.streams else []
    close = [] if load.keep_alive else ["--disable-keepalive"]
    return [oha(), "--no-tui", "--output-format", "json", "--insecure", "-c", str(load.connections), *streams, *close,
            "-z", f"{seconds}s", *targets]


def ab_command(targets, load, seconds):
    # Without -n, -t would end at 50,000 requests.
    keep = ["-k"] if load.keep_alive else []
    return ["ab", "-q", *keep, "-c", str(load.connections), "-t", str(seconds), "-n", str(seconds * 500_000), *targets]


def read_ab(output):
    refused = re.search(r"Non-2xx responses:\s+(\d+)", output)
    return {
        "requests": int(re.search(r"Complete requests:\s+(\d+)", output)[1]),
        "failed": int(re.search(r"Failed requests:\s+(\d+)", output)[1]) + (int(refused[1]) if refused else 0),
        "rps": float(re.search(r"Requests per second:\s+([\d.]+)", output)[1]),
    }


def read_oha(output):
    """What the end of the run cut off stands among its errors, and is none."""
    report = json.loads(output)
    answers = {int(status): count for status, count in report["statusCodeDistribution"].items()}
    errors = sum(count for text, count in report["errorDistribution"].items() if text != "aborted due to deadline")
    return {
        "requests": sum(answers.values()) + errors,
        "failed": errors + sum(count for status, count in answers.items() if status >= 400),
        "rps": sum(answers.values()) / report["summary"]["total"],
    }


def python_command(script, *switches):
    return lambda targets, load, seconds: [
        PYTHON, str(PEERS / script), *targets, "--connections", str(load.connections), "--seconds", str(seconds),
        *switches]


def read_python(output):
    counts = json.loads(output)
    return {**counts, "rps": counts["requests"] / counts["seconds"]}


TOOLS = {
    "wrk": Tool(debian("wrk", "wrk"), wrk_command, read_wrk, lambda: first_line("wrk", "-v")),
    "h2load": Tool(
        debian("h2load", "nghttp2-client"), h2load_command, read_h2load, lambda: first_line("h2load", "--version"),
    ),
    "hey": Tool(
        debian("hey", "hey"), hey_command, read_hey, lambda: first_line("dpkg-query", "-W", "-f=${Version}\n", "hey"),
    ),
    "ab": Tool(debian("ab", "apache2-utils"), ab_command, read_ab, lambda: first_line("ab", "-V")),
    "oha": Tool(install_oha, oha_command, read_oha, lambda: first_line(oha(), "--version")),
    "aiohttp": Tool(
        pypi("aiohttp"), python_command("aiohttp_client.py"), read_python, pypi_version("aiohttp"), own_window=True,
    ),
    "aiohttp+uvloop": Tool(
        pypi("aiohttp", "uvloop"), python_command("aiohttp_client.py", "--uvloop"), read_python,
        pypi_version("aiohttp", "uvloop"), own_window=True,
    ),
    "ThreadPoolExecutor+requests": Tool(
        pypi("requests"), python_command("requests_client.py"), read_python, pypi_version("requests"), own_window=True,
    ),
}
