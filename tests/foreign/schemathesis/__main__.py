"""Lets schemathesis loose on the running daemon with the published description, and ends with a plain line.

Twice: with calls that the description allows, one by one and chained by what earlier answers named, of which most must
succeed; and with calls that it forbids, which must be refused and nothing else. `hooks.py` says what is real.
"""

import collections
import json
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "python"))

import daemon  # noqa: E402
import scene  # noqa: E402
import specs  # noqa: E402
from calls import read  # noqa: E402
from operations import all_operations  # noqa: E402
from provider import Provider  # noqa: E402

# Of a hundred calls that the description allows, so many succeed.
LEAST = 60
CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,refusals_are_told,nothing_else_is_answered"
# Calls of each operation, and chains.
ALLOWED = ["--mode=positive", "--phases=examples,fuzzing,stateful", "--max-examples=40"]
FORBIDDEN = ["--mode=negative", "--phases=coverage,fuzzing", "--max-examples=6"]
SEED = "20261130"


def run(name, running, house, options):
    """One pass: whether it held, and how many calls were answered with which status."""
    tally = running.folder / f"{name}.tally"
    house = {**house, "tally": str(tally)}
    missing = [f"--exclude-operation-id={each}" for each in read("resources.json")["not_served"]]
    command = [
        str(Path(sys.executable).with_name("schemathesis")), f"--config-file={FOLDER / 'schemathesis.toml'}", "run", str(specs.FOLDER / specs.CONVERSATIONS),
        f"--url={running.url}", f"--auth={daemon.ACCOUNT}:{daemon.AUTH_TOKEN}", f"--seed={SEED}", f"--checks={CHECKS}",
        "--no-color", "--no-shrink", "--continue-on-failure", "--warnings=off", "--generation-database=none",
        "--suppress-health-check=all", "--workers=1", *missing, *options,
    ]  # fmt: skip
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "TRUNKLINE_SCENE": json.dumps(house)}
    environment["PYTHONPATH"] = os.pathsep.join([str(FOLDER), str(FOLDER.parent / "python")])
    # It keeps notes in the folder that it is started in.
    code = subprocess.run(command, env=environment, cwd=running.folder, timeout=600).returncode
    calls = [json.loads(line) for line in tally.read_text().splitlines()] if tally.exists() else []
    return code == 0, calls


def main():
    passed, failed, counted = 0, 0, []

    def judged(held, what):
        nonlocal passed, failed
        passed, failed = passed + bool(held), failed + (not held)
        print(("ok   " if held else "FAIL ") + what)

    with Provider() as provider, daemon.Daemon(provider) as running:
        house = scene.build(running, provider)
        held, calls = run("allowed", running, house, ALLOWED)
        judged(held, "calls that the description allows")
        good = sum(200 <= call["status"] < 300 for call in calls)
        share = 100 * good // max(len(calls), 1)
        refused = collections.Counter((call["operation"], call["status"], call["code"]) for call in calls if call["status"] >= 300)
        for (operation, status, code), count in refused.most_common(int(os.environ.get("TRUNKLINE_SHOWN", 12))):
            print(f"     {count:4} x {status} {code} {operation}")
        judged(share >= LEAST, f"{good} of {len(calls)} answered 2xx, {share} %")
        served = set(all_operations()) - set(read("resources.json")["not_served"])
        never = served - {call["operation"] for call in calls if call["status"] < 300} - scene.NEVER
        judged(not never, f"every served operation succeeded at least once; never did: {sorted(never)}")
        counted.append(f"{len(calls)} calls, {share} % 2xx")
        held, calls = run("forbidden", running, house, FORBIDDEN)
        judged(held and calls, "calls that the description forbids")
        counted.append(f"{len(calls)} forbidden calls")
        judged(running.process.poll() is None and running.ready(), "the daemon is ready afterwards")
        if failed:
            print("What the daemon said last:\n" + running.said())
    print("; ".join([f"{passed} passed, {failed} failed", *counted]))
    return 1 if failed else 0


sys.exit(main())
