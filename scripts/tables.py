"""What was compared as tables and as a results folder. No command of its own."""

import json
import re

from comparing import CALL_ROUNDS, ITSELF
from measuring import RINGLOAD, UNWRITTEN, machine_lines, without_bulk
from scenarios import ALL, COLUMNS, SCENARIOS
from tools import TOOLS


def head(scenario):
    columns = [COLUMNS[key] for key in scenario.columns]
    if scenario.tools:
        figures = [f"{column.head}, ringload / tool (ahead {column.ahead})" for column in columns]
    elif scenario.before:
        figures = [f"{column.head}, this / before (ahead {column.ahead})" for column in columns]
    else:
        figures = [f"{column.head}, first load / second" for column in columns]
    cells = ["against", "load", *figures]
    return f"| {' | '.join(cells)} |\n|{'---|' * len(cells)}"


def row(scenario, measured):
    cells = [cell(COLUMNS[key], measured["cells"][key]) for key in scenario.columns]
    tool = "itself" if measured["tool"] == ITSELF else measured["tool"]
    return f"| {' | '.join([tool, measured['heading'], *cells])} |"


def cell(column, values):
    if not values:
        return "not counted"
    if "ratio" not in values:
        return f"not measured ({column.format.format(values['other'])})"
    least, median, most = (f"{ratio:.{2 if ratio >= 1 else 3}f}" for ratio in values["ratio"].values())
    both = " / ".join(column.format.format(values[side]) for side in ("ringload", "other"))
    return f"{least}–**{median}**–{most} ({both})"


def write_results(comparison):
    """Writes the folder as far as scenarios are complete; each call replaces what the one before wrote."""
    out = comparison.args.out
    (out / "output").mkdir(parents=True, exist_ok=True)
    (out / "raw.json").write_text(json.dumps(comparison.raw, indent=1) + "\n")
    for case, text in comparison.outputs.items():
        name = re.sub(r"[^a-z0-9+]+", "-", " ".join(case).lower())
        (out / "output" / f"{name}.txt").write_text(shortened(text))
    (out / "README.md").write_text(readme(comparison))


def shortened(output):
    """ringload's report without what makes it long, and without this machine's paths; other output as it is."""
    if '"histograms"' not in output:
        return output
    return json.dumps(without_bulk(json.loads(output)), indent=1) + "\n"


def readme(comparison):
    args = comparison.args
    tables = "\n\n".join(f"## {name}: {SCENARIOS[name].purpose}\n\n" + "\n".join(
        [head(SCENARIOS[name]), *(row(SCENARIOS[name], measured) for measured in table)])
        for name, table in comparison.tables.items())
    used = [tool for tool in TOOLS if any(tool == m["tool"] for table in comparison.tables.values() for m in table)]
    commits = sorted({r["ringload"]["commit"] for case in comparison.raw for r in case["rounds"] if "ringload" in r})
    lines = [
        *(f"- not measured: {failure}" for failure in comparison.failures),
        *(f"- left out: {name}: {why}" for name, why in comparison.missing.items()),
        *failed_lines(comparison),
        f"{machine_lines()} on core {args.server_core}",
        f"- client on core {args.client_core}; ringload built from {', '.join(commits) or 'nothing, not measured'}",
        *([f"- before: ringload built from {args.before}"] if args.before else []),
        *(f"- {tool}: {TOOLS[tool].version()}" for tool in used),
    ]
    return f"""\
# {args.out.name}

Each cell: the ratio ringload / tool as min–**median**–max over {args.rounds} alternating rounds of {lengths(comparison)},
and in brackets the medians of both. ringload is ahead above 1 in requests/s, bytes and handshakes, and below 1 in the rest.
ringload's CPU, as that of the tools in C, Go and Rust, is of the whole process from start to exit; that of the Python
clients is of their measured window alone, after imports, connecting and first requests. System calls: {CALL_ROUNDS} rounds of their
own, of the whole process; of the Python clients the difference of a run and one three times as long, so without
start-up. Peak memory is of the whole process for all. Under TLS no client verifies the certificate, as wrk cannot; oha then
leaves out the handshake's signature too, which costs it less than the others. nginx has TLS 1.3 alone, an ECDSA P-256 key,
and whatever suite the client likes best. wrk resumes sessions wherever it may: for full handshakes nginx resumes none, and
ringload asks for none.

{tables}

Repeat with: `{command(args)}`

- raw.json has every run, output/ what each client printed in the first one (ringload's without {', '.join(UNWRITTEN)})
{chr(10).join(lines)}
"""


def lengths(comparison):
    """How long rounds are, and those of which scenarios are longer."""
    args = comparison.args
    least = {name: SCENARIOS[name].least_s for name in comparison.tables}
    longer = [f"{seconds} s in {name}" for name, seconds in least.items() if seconds > args.seconds]
    return " and ".join([f"{args.seconds} s", *longer])


def failed_lines(comparison):
    """A line for each row whose requests did not all succeed."""
    for name, table in comparison.tables.items():
        for measured in table:
            for side, (failed, requests) in measured["failed"].items():
                if failed:
                    who = measured["tool"] if side == "other" else "ringload"
                    yield f"- {name}, {measured['heading']}: {failed:,} of {who}'s {requests:,} requests failed"


def command(args):
    parts = ["scripts/compare-tools"]
    if args.scenario != ALL:
        parts += ["--scenario", *args.scenario]
    if args.tools != list(TOOLS):
        parts += ["--tools", *args.tools]
    if args.ringload != RINGLOAD:
        parts += ["--ringload", "FILE"]
    if args.before:
        parts += ["--before", args.before]
    return " ".join([*parts, "--rounds", str(args.rounds), "--seconds", str(args.seconds)])
