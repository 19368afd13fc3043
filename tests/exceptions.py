"""Count the exceptions from the rules and refuse one that gives no reason (`python -m tests.exceptions`)."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

# What suppresses a tool, and how a reason looks: text after the suppression on the same line.
SUPPRESSIONS = {
    "type: ignore": re.compile(r"#\s*type: ignore\[[\w, -]+\](?P<reason>.*)$"),
    "no cover": re.compile(r"#\s*pragma: no (?:cover|branch)(?P<reason>.*)$"),
}
BARE = re.compile(r"#\s*(type: ignore(?!\[)|pragma: no (?:cover|branch)\s*$)")
SHORTEST_REASON = 8


def tracked() -> list[Path]:
    """Return the Python files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "*.py"], capture_output=True, text=True, check=True)
    return [Path(line) for line in listed.stdout.split() if line != "tests/exceptions.py"]


def main() -> int:
    """Print the counts; return 1 where a reason is missing."""
    counts = dict.fromkeys(SUPPRESSIONS, 0)
    without: list[str] = []
    for path in tracked():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if BARE.search(line):
                without.append(f"{path}:{number}")
            for kind, pattern in SUPPRESSIONS.items():
                found = pattern.search(line)
                if found:
                    counts[kind] += 1
                    if len(found["reason"].strip(" #()-–—:")) < SHORTEST_REASON:
                        without.append(f"{path}:{number}")
    contracts = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    counts["contract exceptions"] = sum(len(contract.get("ignore_imports", [])) for contract in contracts)
    sys.stdout.write("Exceptions: " + ", ".join(f"{count} × {kind}" for kind, count in counts.items()) + "\n")
    for place in without:
        sys.stderr.write(f"{place}: an exception without a reason on its line\n")
    return 1 if without else 0


if __name__ == "__main__":
    sys.exit(main())
