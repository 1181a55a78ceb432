"""A run in a storm: does it end, with the exact count, below its cap, with nothing paid twice?

    python benchmarks/storm.py [--num 2000] [--share 0.3] [--fatal 0.01] [--mode online|batch]

`alpaca generate` runs as a process of its own against `alpaca rehearsal` in this one, of whose answers --share go wrong
in every way that passes, and --fatal in ways that end a run; then the same command is run again, as a user would.  In
the end the server's books are compared with journal and ledger, and the derived files with those that the journal
gives in calm weather.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

from alpaca_cli.rehearsal.faults import FATAL, ROW_FAULTS
from alpaca_cli.rehearsal.server import RehearsalServer
from alpaca_cli.rehearsal.storm import Storm, storm_of

INPUT, OUTPUT = Decimal("0.10"), Decimal("0.50")  # USD per 1,000,000 tokens
DERIVED = ("alpaca_data.json", "provenance.jsonl", "refused.jsonl")
KEY = "sk-canary-2b7c1f0e9d8a"


def rows(path: Path) -> list[dict[str, object]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """Run until done, compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--fatal", type=float, default=0.01)
    parser.add_argument("--mode", choices=["online", "batch"], default="online")
    parser.add_argument("--max-cost", type=Decimal, default=Decimal("0.5"))
    arguments = parser.parse_args()
    passing = storm_of(arguments.share)
    fatal = dict.fromkeys(FATAL, arguments.fatal / len(FATAL))
    storm = passing.model_copy(update={"rates": {**passing.rates, **fatal}, "slow_s": 1.0, "hang_s": 30.0})
    if arguments.mode == "batch":
        row_rates = dict.fromkeys(ROW_FAULTS, arguments.share / len(ROW_FAULTS))
        script = ("lost_batch", "expired", "late_output", "download_502", "poll_503", "create_500", "token_limit")
        storm = Storm(row_rates=row_rates, batch_script=script, upload_script=("lost_upload",), batch_s=1.0)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, RehearsalServer(storm=storm) as server:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "alpaca_cli", "generate", "--num", str(arguments.num), "--out", str(out)]
        command += ["--base-url", server.base_url, "--model", "rehearsal", "--max-cost", str(arguments.max_cost)]
        command += ["--price-in", str(INPUT), "--price-out", str(OUTPUT)]
        command += ["--set", "teacher.timeout_s=5", "--set", "teacher.top_p=1.0"]
        command += ["--batch"] if arguments.mode == "batch" else []
        environment = {**os.environ, "OPENAI_API_KEY": KEY}
        codes: list[int] = []
        said = ""
        while not codes or codes[-1] == 4:
            run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            codes.append(run.returncode)
            said += run.stdout + run.stderr
        seconds = time.monotonic() - began
        if codes[-1]:
            sys.exit(f"BROKEN: exit code {codes[-1]}: {run.stderr}")
        books, asked = server.books, server.num_requests
        journal, ledger = rows(out / "journal.jsonl"), rows(out / "ledger.jsonl")
        storming = {name: (out / name).read_bytes() for name in DERIVED}
        for name in (*DERIVED, "report.json"):
            (out / name).unlink()
        server.storm = Storm()
        subprocess.run(command, capture_output=True, check=True, env=environment)
        leaks = [str(path) for path in out.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
        checks = {
            "the exact count": len(json.loads(storming["alpaca_data.json"])) == arguments.num,
            "no request journalled twice": len({row["k"] for row in journal}) == len(journal),
            "the same files in calm weather, nothing asked": server.num_requests == asked
            and all((out / name).read_bytes() == raw for name, raw in storming.items()),
            "the key in nothing that was written or said": not leaks and KEY not in said,
            "no traceback": "Traceback" not in said,
        }
    charged = books.total.cost(INPUT, OUTPUT) / (2 if arguments.mode == "batch" else 1)
    costs = {row["ticket"]: Decimal(str(row["most"])) for row in ledger if "most" in row}
    costs |= {row["ticket"]: Decimal(str(row["cost"])) for row in ledger if row.get("cost") is not None}
    counted = sum(costs.values())
    checks["charged <= counted <= cap"] = charged <= counted <= arguments.max_cost
    print(f"{arguments.mode}: {arguments.num:,} examples in {seconds:.0f} s; exit codes {dict(Counter(codes))}")
    print(
        f"journalled {len(journal):,}, of which given up {sum(row['finish_reason'] == 'given_up' for row in journal)}"
    )
    print(f"the server charged ${charged:.4f}, the ledger counts ${counted:.4f}, the cap is ${arguments.max_cost}")
    if books.faults:
        print(f"faults met: {', '.join(f'{name} {count}' for name, count in books.faults.most_common())}")
    print(f"statuses: {dict(Counter(status for (_, status), count in books.requests.items() for _ in range(count)))}")
    for name, is_so in checks.items():
        print(f"{'yes' if is_so else 'NO'}  {name}")
    sys.exit(0 if all(checks.values()) else 1)


if __name__ == "__main__":
    main()
