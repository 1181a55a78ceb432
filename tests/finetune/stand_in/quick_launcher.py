"""A launcher that behaves as accelerate's does, without its seconds of imports: each process in a session of its own,
and where one fails, SIGTERM to the others, and SIGKILL after a while."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

config = yaml.safe_load(Path(sys.argv[sys.argv.index("--config_file") + 1]).read_text())
local = config["num_processes"] // config["num_machines"]
workers = []
for number in range(local):
    places = {
        "RANK": config["machine_rank"] * local + number, "WORLD_SIZE": config["num_processes"], "LOCAL_RANK": number,
        "LOCAL_WORLD_SIZE": local, "MASTER_ADDR": config["main_process_ip"], "MASTER_PORT": "1",
    }  # fmt: skip
    environment = {**os.environ, **{name: str(value) for name, value in places.items()}}
    command = [sys.executable, *sys.argv[sys.argv.index("-m") :]]
    workers.append(subprocess.Popen(command, env=environment, start_new_session=True))
while any(worker.poll() is None for worker in workers):
    if failed := [worker for worker in workers if worker.poll()]:
        os.write(1, f"exitcode  : {failed[0].returncode} (pid: {failed[0].pid})\n".encode())
        for worker in workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        end = time.monotonic() + 30
        while time.monotonic() < end and any(worker.poll() is None for worker in workers):
            time.sleep(0.05)
        for worker in workers:
            worker.kill()
        sys.exit(1)
    time.sleep(0.05)
sys.exit(any(worker.returncode for worker in workers))
