"""What must be settled before ray is imported: it reads the environment as it is loaded.  Imports no ray."""

from __future__ import annotations

import os
from importlib.util import find_spec

from alpaca_cli.errors import UsageError


def prepare_ray(address: str | None) -> str | None:
    """The address of the cluster that is meant, RAY_ADDRESS if none is given, or None for a Ray of this machine alone.

    Call it before `flow` is imported.  A Ray of this machine will listen on loopback only, where by
    itself it listens on every interface and does what anyone bids it; and it will report nothing to its makers.  A
    cluster that does not answer is given up after some 15 seconds rather than 15 minutes.  What the user has set in
    the environment stands.  Raises UsageError if ray is not installed or the address is of no use.
    """
    if find_spec("ray") is None:
        raise UsageError("--engine ray needs Ray Data", hint="pip install 'alpaca-cli[ray]'")
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # so it is on those, for fear of firewalls
    elif "://" in address:
        raise UsageError(
            f"expected the address of a cluster that this machine is part of (auto, or HOST:6379), found {address}",
            hint="run the command on a machine of the cluster, for instance by `ray job submit`",
        )
    else:
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")
        os.environ.setdefault("RAY_py_gcs_connect_timeout_s", "5")
    return address
