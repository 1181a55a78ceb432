"""What the throttle makes of servers with hidden limits, in simulated time: no network, the same figures each time.

    python benchmarks/throttle.py

For each server, once it has converged: the share of requests refused and the share of the capacity used; after the
capacity has doubled, whole seconds until 90 % of it is used for 10 s ("-": not within 90); after it has halved, the
share refused in the first 30 s and in the minute after.  A row is one run of each kind, of one seed.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "tests")]

from generate.throttle_simulation import Server, Simulation  # noqa: E402  (the tests' simulation, found through the line above)

MOST = 1000
LATENCIES = (0.05, 1.0, 15.0)
FOLLOW_S, SOON_S = 90, 30


def servers() -> list[tuple[str, Server]]:
    """The table's rows."""
    rows = []
    for latency_s in LATENCIES:
        rows += [(f"{n} slots, refuses", Server(latency_s, slots=n)) for n in (4, 10, 64, 200)]
        rows += [(f"{n} slots, queues", Server(latency_s, slots=n, is_queueing=True)) for n in (4, 10, 64)]
        rows += [(f"{n:,} requests/min", Server(latency_s, rpm=n)) for n in (60, 600, 6000, 60000)]
        rows += [("2,100,000 tokens/min", Server(latency_s, tpm=2_100_000))]
        rows += [("6,000 requests/min, no burst", Server(latency_s, rpm=6000, burst_s=0.0))]
        rows += [("6,000 requests/min, headers", Server(latency_s, rpm=6000, has_headers=True))]
        rows += [("64 slots, retry-after 1 s", Server(latency_s, slots=64, retry_after_s=1.0))]
    rows += [("200 slots, answers 30 ms on their way", Server(1.0, slots=200, network_s=0.03))]
    return [(name, server) for name, server in rows if needed(server) <= 0.8 * MOST]


def needed(server: Server) -> float:
    """Requests under way that use the capacity."""
    return server.slots if server.slots is not None else server.capacity(0) * server.latency_s


def measure(name: str, server: Server) -> str:
    """One row."""
    rate = server.capacity(0) / (server.latency_s if server.slots is not None else 1)
    converged = round(max(60 if rate < 200 else 20, 20 * server.latency_s, 300 / rate))
    end = converged + round(max(120 if rate < 200 else 20, 20 * server.latency_s, 600 / rate))
    record = Simulation(server, most=MOST).run(end)
    doubled = replace(server, change=(converged, 2.0))
    until = converged + FOLLOW_S
    follow_s = Simulation(doubled, most=MOST).run(until).follow_s(doubled, converged, until)
    halved = Simulation(replace(server, change=(converged, 0.5)), most=MOST).run(until)
    cells = [
        name,
        f"{server.latency_s:g}",
        f"{rate:.4g}",
        f"{record.refused_share(converged, end):.2%}",
        f"{record.use(server, converged, end):.0%}",
        "-" if follow_s is None else f"{follow_s}",
        f"{halved.refused_share(converged, converged + SOON_S):.1%}",
        f"{halved.refused_share(converged + SOON_S, until):.1%}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Simulate and print."""
    began = time.perf_counter()
    print("| server | latency s | capacity /s | refused | used | x 2: s | x 0.5: refused, 30 s | then |")
    print("|---|---|---|---|---|---|---|---|")
    for name, server in servers():
        print(measure(name, server), flush=True)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
