"""Does --max-cost hold?  Thousands of simulated runs, counted by the server that they pay.

    python benchmarks/budget.py [--runs 10000] [--seed 0]

Each run is the real loop, ledger, journal and budget, in virtual time, against a simulated server with random prices,
usages, latencies, concurrency and fates: answers counted or not counted, work done and paid whose answer is lost, 429,
5xx, filters, and processes that are killed and started again.  The server adds up what it charges.  A run counts as
broken if that is ever more than the cap.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import selectors
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from alpaca_cli.data.example import parse_seed_tasks
from alpaca_cli.data.journal import Completion, Journal
from alpaca_cli.data.ledger import Ledger
from alpaca_cli.data.shipped import find
from alpaca_cli.errors import AlpacaError, LimitReached, TeacherError, TeacherRefused
from alpaca_cli.generate.body import Body, max_tokens_of
from alpaca_cli.generate.budget import TEMPLATE_TOKENS, Budget
from alpaca_cli.generate.failure import Failure
from alpaca_cli.generate.loop import Loop
from alpaca_cli.generate.prices import Price
from alpaca_cli.generate.progress import Progress
from alpaca_cli.generate.prompt import Request, RequestMaker
from alpaca_cli.generate.replay import Replay
from alpaca_cli.generate.server import Server
from alpaca_cli.generate.teacher import Reply
from alpaca_cli.generate.throttle import Throttle
from alpaca_cli.recipe.generate import GenerateRecipe

ARRIVES_NOT = ("lost", "timeout", "error_504", "html")
FREE = ("busy", "error_400", "filtered", "refused_connection")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everybody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_VirtualSelector(self))

    def time(self) -> float:
        return self.now


class _VirtualSelector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        self._loop.now += max(timeout or 0.0, 1e-9)  # no clock stands still
        return []


@dataclass
class SimulatedServer:
    """Stands for a teacher and the server behind it, which charges for the work that it does."""

    rng: random.Random
    price: Price
    settings: Any
    fates: Mapping[str, float]
    kill_after: int
    base_url: str = "simulated"
    charged: Decimal = Decimal(0)
    seen: Counter[str] = field(default_factory=Counter)
    num_tasks: int = 0

    def __post_init__(self) -> None:
        self.body = Body(self.settings, self.base_url)

    async def ask(self, request: Request, body: dict[str, Any]) -> Reply | Failure:
        rng = self.rng
        fate = rng.choices(list(self.fates), list(self.fates.values()))[0]
        self.seen[fate] += 1
        max_tokens = max_tokens_of(body)
        usage = {
            "prompt_tokens": rng.randint(1, len(request.text.encode()) + TEMPLATE_TOKENS),
            "completion_tokens": rng.choice([rng.randint(0, max_tokens), max_tokens]),
        }
        if fate not in FREE:  # charged when the work is done, whether or not anybody hears of it
            self.charged += self.price.cost(**usage)
        if sum(self.seen.values()) == self.kill_after:  # as by SIGKILL: nothing is waited for
            asyncio.get_running_loop().stop()
        await asyncio.sleep(rng.expovariate(1 / 5))
        if fate in ARRIVES_NOT:
            return Failure(fate, "passing", may_be_paid=True, timed_out=fate == "timeout")
        if fate == "busy":
            return Failure(fate, "busy", pause_s=rng.choice([None, 0.5, 20.0]))
        if fate == "error_400":
            return Failure(fate, "rejected", status=400)
        if fate == "refused_connection":
            return Failure(fate, "passing")
        told = usage if fate == "answered" else None
        text = "" if fate == "filtered" else self._tasks(request.next_number)
        completion = Completion(
            request.k, request.seed_ids, request.prompt_sha256, text, "stop", told, None, None, "", 1.0
        )
        return Reply(completion, {}, is_paid=fate != "filtered")

    async def refused(self, failure: Failure) -> TeacherError:
        return TeacherRefused(failure.message)

    def _tasks(self, number: int) -> str:
        self.num_tasks += 1
        words = " ".join(f"w{self.rng.randrange(10**9)}" for _ in range(6))
        return f" Explain {words}.\n{number}. Input:\n<noinput>\n{number}. Output:\nSo it is.\n"


class Silent:
    """A listener that says nothing."""

    def note(self, text: str) -> None: ...
    def retry(self, text: str) -> None: ...
    def replaying(self, done: int, count: int) -> None: ...
    def progress(self, progress: Progress) -> None: ...


def main() -> None:
    """Print how many runs ended how, and whether any went over its cap."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    path = find("seed_tasks.jsonl", "prompts")
    maker = RequestMaker("Write {num_tasks} tasks.", parse_seed_tasks(path.read_bytes(), path), 4, 3, 0)
    began, endings, fates, shares, broken = time.monotonic(), Counter[str](), Counter[str](), [], 0
    memory = Path("/dev/shm")
    for number in range(arguments.runs):
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
            ending, seen, charged, counted, cap = run(random.Random(f"{arguments.seed}:{number}"), maker, Path(folder))
        endings[ending] += 1
        fates += seen
        shares.append(float(charged / cap))
        broken += not charged <= counted <= cap
    shares.sort()
    print(f"{arguments.runs:,} runs, {sum(fates.values()):,} requests, in {time.monotonic() - began:.0f} s")
    print(f"over the cap, or charged more than counted: {broken}")
    print(f"ended: {', '.join(f'{name} {count:,}' for name, count in endings.most_common())}")
    print(f"fates: {', '.join(f'{name} {count:,}' for name, count in fates.most_common())}")
    print(f"charged, as a share of the cap: median {shares[len(shares) // 2]:.3f}, most {shares[-1]:.4f}")


def run(rng: random.Random, maker: RequestMaker, folder: Path) -> tuple[str, Counter[str], Decimal, Decimal, Decimal]:
    """One run with its kills: how it ended, the fates, what the server charged, what we counted, and the cap."""
    price = Price(
        *(Decimal(rng.randint(0, 3000)).scaleb(-2) for _ in range(3)), None, None, None, "", Decimal(rng.randint(1, 40))
    )
    settings = {
        "model": "m",
        "max_tokens": rng.choice([16, 300, 4096]),
        "concurrency": rng.randint(1, 64),
        "max_tries": rng.randint(1, 8),
    }
    recipe = GenerateRecipe.model_validate(
        {"kind": "generate", "num": rng.randint(1, 60), "teacher": settings, "rules": {"too_short": 0}}
    )
    names = ("answered", "uncounted", *ARRIVES_NOT, *FREE)
    fates = {name: rng.random() * (10 if name == "answered" else rng.choice([0, 1, 3])) for name in names}
    fates["answered"] += 1e-6
    server = SimulatedServer(rng, price, recipe.teacher, fates, kill_after=0)
    one = price.most(prompt_tokens=3000, completion_tokens=recipe.teacher.max_tokens)
    cap = one * Decimal(rng.randint(1, 400)) / 10 or Decimal(1)
    ending, num_kills = "", 0
    for num_left in reversed(range(rng.randint(1, 4))):
        server.kill_after = sum(server.seen.values()) + rng.randint(1, 60) if num_left else 0
        with Journal(folder / "journal.jsonl") as journal, Ledger(folder / "ledger.jsonl") as ledger:
            budget = Budget(ledger, max_cost=cap)
            replay = Replay(recipe, maker.seed_tasks, recipe.num or 0)
            for k in sorted(journal.completions):
                replay.offer(journal.completions[k])
            throttle = Throttle(recipe.teacher.concurrency)
            made: Any = server
            loop = Loop(
                recipe,
                servers=[Server(made, throttle, price)],
                maker=maker,
                replay=replay,
                journal=journal,
                budget=budget,
                listener=Silent(),
            )
            ending = "complete" if replay.is_done else _ending(loop)
            num_kills += ending == "killed"
            counted = ledger.spent + ledger.reserved
    return f"{ending}, killed before" if num_kills else ending, server.seen, server.charged, counted, cap


def _ending(loop: Loop) -> str:
    virtual = VirtualLoop()
    try:
        virtual.run_until_complete(loop.run())
    except LimitReached:
        return "cap reached"
    except AlpacaError as error:
        return type(error).__name__
    except RuntimeError as error:
        if "stopped" not in str(error):
            raise
        return "killed"
    finally:
        virtual.set_exception_handler(lambda *_: None)  # tasks of a killed process are not missed
        virtual.close()
    return "complete"


if __name__ == "__main__":
    main()
