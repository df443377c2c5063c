"""Tests of the tests: changes the program one place at a time and demands that a unit test fails.

The changes are those that `cargo mutants` lists for `.cargo/mutants.toml`. Its own loop builds once for each, which takes
hours; here every change of a function becomes another body beside the first, in a copy of the tree, and the environment
says which one is alive. So there is one build, and a change costs as much as the tests that look at it.

usage: run.py CARGO_MUTANTS COPY [PART]    a PART of a change's name looks at those changes only
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SELECTED = "TRUNKLINE_MUTANT"
# Asked once per process, then a look at memory.
SELECTOR = f"""
pub(crate) mod mutant {{
    pub(crate) fn alive() -> u32 {{
        static ALIVE: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
        *ALIVE.get_or_init(|| std::env::var("{SELECTED}").map_or(0, |number| number.parse().unwrap()))
    }}
}}
"""
# Nine of ten must be noticed.
NEEDED = 0.9
# No test is given less, since machines have other things to do.
LEAST_SECONDS = 12


class Mutant:
    """One change: which bytes of which function become what."""

    def __init__(self, number, listed):
        self.number, self.name, self.file = number, listed["name"], listed["file"]
        self.span, self.replacement = listed["span"], listed["replacement"]
        self.function = (self.file, *(listed["function"]["span"][end][of] for end in ("start", "end") for of in ("line", "column")))


class Source:
    """A file's text, and places in it as the list counts them: lines and characters from one."""

    def __init__(self, text):
        self.text, self.starts = text, [0]
        for line in text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def at(self, line, column):
        return self.starts[line - 1] + column - 1

    def line(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def body(self, start, end):
        """Where a function's body begins and ends, without its braces: the first brace outside of brackets."""
        depth = 0
        for offset in range(start, end):
            character = self.text[offset]
            if character in "([":
                depth += 1
            elif character in ")]":
                depth -= 1
            elif character == "{" and depth == 0:
                return offset + 1, end - 1
        raise ValueError(f"no body between {start} and {end}")


def grown(source, mutants):
    """The text with all bodies of all changed functions, and which lines of it belong to which change or function."""
    groups = collections.defaultdict(list)
    for mutant in mutants:
        groups[mutant.function].append(mutant)
    pieces, done, line, places = [], 0, 1, []

    def put(text, owner=None):
        nonlocal line
        pieces.append(text)
        end = line + text.count("\n")
        if owner is not None:
            places.append((line, end, owner))
        line = end

    for function in sorted(groups, key=lambda function: source.at(*function[1:3])):
        start, end = source.body(source.at(*function[1:3]), source.at(*function[3:5]))
        if start < done:
            raise ValueError(f"{function}: a function within another that is changed too")
        put(source.text[done:start])
        first = line
        put("\nmatch crate::mutant::alive() {\n")
        for mutant in groups[function]:
            place = source.at(**mutant.span["start"]), source.at(**mutant.span["end"])
            put(f"{mutant.number} => {{", None)
            put(source.text[start : place[0]] + " " + mutant.replacement + " " + source.text[place[1] : end], [mutant])
            put("\n}\n")
        put("_ => {")
        put(source.text[start:end])
        put("\n}\n}\n")
        places.append((first, line, groups[function]))
        done = end
    put(source.text[done:])
    return "".join(pieces), places


def write(copy, texts, mutants):
    """The copy's files with these changes in them, and where they are."""
    files, places = {file: [] for file in texts}, {}
    for mutant in mutants:
        files[mutant.file].append(mutant)
    for file, of in files.items():
        text, places[file] = grown(Source(texts[file]), of)
        (copy / file).write_text(text)
    return places


def build(copy, target):
    """The test program, or the places at which it does not compile."""
    environment = dict(os.environ, CARGO_TARGET_DIR=str(target), RUSTFLAGS="--cap-lints=allow", CARGO_INCREMENTAL="1")
    run = subprocess.run(
        ["cargo", "test", "--locked", "--lib", "--no-run", "--profile", "mutants", "--message-format", "json"],
        cwd=copy, env=environment, stdout=subprocess.PIPE, text=True)
    program, errors = None, []
    for message in map(json.loads, run.stdout.splitlines()):
        if message["reason"] == "compiler-artifact" and message["executable"]:
            program = message["executable"]
        if message["reason"] == "compiler-message" and message["message"]["level"] == "error":
            spans = [(span["file_name"], span["line_start"]) for span in message["message"]["spans"] if span["is_primary"]]
            errors += spans
            if not spans:
                print(message["message"]["message"])
    return program if run.returncode == 0 else None, errors


def blamed(errors, places):
    """The changes that do not compile: those whose own lines are named, else all of the function that is."""
    blame = set()
    for file, line in errors:
        within = [(last - first, of) for first, last, of in places.get(file, []) if first <= line <= last]
        if within:
            blame.update(min(within, key=lambda place: place[0])[1])
    return blame


def ask(program, copy, number, filters, limit):
    """Whether the tests of these rooms pass while a change is alive; one that never ends is one that somebody notices."""
    environment = dict(os.environ, **{SELECTED: str(number)})
    command = [program, "--test-threads", "1", *filters]
    with subprocess.Popen(command, cwd=copy, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        try:
            return "missed" if run.wait(limit) == 0 else "caught"
        except subprocess.TimeoutExpired:
            run.kill()
            return "never ended"


def main(cargo_mutants, copy, part=""):
    settings = tomllib.loads((ROOT / ".cargo/mutants.toml").read_text())
    rooms = [word for word in settings["additional_cargo_test_args"] if word != "--"]
    copy = pathlib.Path(copy)
    tree, target = copy / "tree", copy / "target"
    shutil.rmtree(tree, ignore_errors=True)
    for file in subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0"):
        if file and (ROOT / file).is_file():
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, tree / file)
    with open(tree / "src/lib.rs", "a") as library:
        library.write(SELECTOR)

    listed = json.loads(subprocess.check_output([cargo_mutants, "mutants", "--list", "--json"], cwd=tree))
    # What is outside of a function, a constant, cannot be chosen at run time.
    mutants = [Mutant(number, one) for number, one in enumerate(listed, 1) if one["function"] and part in one["name"]]
    for one in listed:
        if not one["function"]:
            print(f"not looked at: {one['name']}")
    texts = {file: (tree / file).read_text() for file in {mutant.file for mutant in mutants}}

    alive, program = mutants, None
    while program is None:
        places = write(tree, texts, alive)
        program, errors = build(tree, target)
        blame = blamed(errors, places)
        if program is None and not blame:
            sys.exit(f"the tree does not compile, and no change is to blame: {errors[:5]}")
        alive = [mutant for mutant in alive if mutant not in blame]
        for mutant in sorted(blame, key=lambda mutant: mutant.number):
            print(f"does not compile: {mutant.name}", flush=True)
    compiled = set(alive)

    # The room of a change first, since most are noticed there; whatever passes it must pass the others too.
    def limited(filters):
        """How long these tests may take: they wait for nothing, so one that takes so much longer has no end."""
        began = time.monotonic()
        if ask(program, tree, 0, filters, 600) != "missed":
            sys.exit(f"{filters} fail without any change")
        return filters, max(LEAST_SECONDS, 8 * (time.monotonic() - began))

    homes = {mutant.file: re.match(r"src/(\w+)/", mutant.file).group(1) + "::" for mutant in alive}
    stages = {home: [limited([home]), limited([room for room in rooms if room != home])] for home in sorted(set(homes.values()))}

    def look(mutant):
        for filters, limit in stages[homes[mutant.file]]:
            verdict = ask(program, tree, mutant.number, filters, limit)
            if verdict != "missed":
                break
        return verdict

    counts = collections.defaultdict(collections.Counter)
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("TRUNKLINE_MUTANT_JOBS", os.cpu_count()))) as pool:
        for mutant, verdict in zip(alive, pool.map(look, alive)):
            counts[mutant.file][verdict] += 1
            if verdict == "missed":
                print(f"missed: {mutant.name}", flush=True)

    print(f"\n{'':34}{'changes':>9}{'caught':>9}{'of them never ended':>21}{'missed':>9}{'%':>7}")
    total = collections.Counter()
    for file, count in sorted(counts.items()) + [("all", None)]:
        count = total if count is None else count
        noticed = count["caught"] + count["never ended"]
        print(f"{file:34}{count.total():9}{noticed:9}{count['never ended']:21}{count['missed']:9}"
              f"{100 * noticed / max(1, count.total()):7.1f}")
        total += count if count is not total else collections.Counter()
    print(f"{len(mutants) - len(compiled)} more changes do not compile\n")
    enough = total.total() > 0 and total["missed"] <= (1 - NEEDED) * total.total()
    print(f"{'' if enough else 'FAIL fewer than nine of ten are noticed' + chr(10)}{int(enough)} passed, {int(not enough)} failed")
    sys.exit(0 if enough else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
