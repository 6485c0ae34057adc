"""Stand-ins for the commands of SLURM and PBS that a job script calls: everything runs on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_SRUN = """#!/bin/bash
# srun: as many copies of a command as --ntasks says, all of which end with it.
tasks=1
while [[ $1 == --* ]]; do
  case $1 in --ntasks) tasks=$2; shift 2 ;; --*=*) shift ;; *) shift 2 ;; esac
done
echo "$@" > "{home}/workers"
for ((n = 0; n < tasks; n++)); do "$@" 2>> "{home}/workers.log" & done
trap 'kill $(jobs -p); wait' TERM
wait
"""
_SCONTROL = """#!/bin/bash
if [[ $1 == show ]]; then printf '127.0.0.%s\\n' $(seq "{nodes}"); else echo "$@" >> "{home}/scontrol"; fi
"""
_PBSDSH = """#!/bin/bash
# pbsdsh: two copies of a command, with hardly any environment.
shift
echo "$@" > "{home}/workers"
for n in 1 2; do env -i PYTHONPATH="$PYTHONPATH" "$@" 2>> "{home}/workers.log" & done
trap 'kill $(jobs -p); wait' TERM
wait
"""
_SMDOWN = """#!/bin/bash
# Of all stages only the first.
echo "$@" >> "{home}/smdown"
[[ $1 == run ]] && shift
exec "{python}" -m smdown.cli ingest "$@"
"""
_IDLE_DASK = """#!/bin/bash
# A scheduler that says that a worker came, and nothing else.
[[ $1 == worker ]] && exec sleep 60
while [[ $1 != --scheduler-file ]]; do shift; done
printf '{{\\n  "type": "Scheduler",\\n  "address": "tcp://127.0.0.1:1",\\n  "workers": {{}}\\n}}\\n' > "$2"
echo "Register worker"
exec sleep 60
"""
_WAITING_SMDOWN = """#!/bin/bash
# A run that ends in good order when it is told to, or at once with the status that is written down.
echo "$@" >> "{home}/smdown"
[[ ! -e "{home}/status" ]] || {{ status=$(cat "{home}/status"); rm "{home}/status"; exit "$status"; }}
trap 'kill %1; exit 138' USR1
trap 'kill %1; exit 143' TERM
sleep 60 &
touch "{home}/started"
wait
"""


def stand_ins(home: Path, *, nodes: int = 1, real: bool = True) -> dict[str, str]:
    """Write them; return the environment of a job, in which they are found first.

    Parameters
    ----------
    home : Path
        Where they write down how they were called.
    nodes : int
        Loopback addresses that are taken for nodes.
    real : bool
        Whether Dask and smdown are real too.
    """
    folder = home / "bin"
    folder.mkdir(parents=True)
    texts = {"srun": _SRUN, "scontrol": _SCONTROL, "pbsdsh": _PBSDSH, "smdown": _SMDOWN, "qsub": _SCONTROL}
    if not real:
        texts |= {"smdown": _WAITING_SMDOWN, "dask": _IDLE_DASK}
    for name, text in texts.items():
        (folder / name).write_text(text.format(home=home, nodes=nodes, python=sys.executable))
        (folder / name).chmod(0o755)
    (home / "nodes").write_text("".join(f"127.0.0.{n}\n" * 2 for n in range(1, nodes + 1)))
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "PBS_", "SMDOWN_"))},
        "PATH": os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(part or "." for part in sys.path),
        "TMPDIR": str(home),
        "SLURM_JOB_ID": "17", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_NTASKS": "2", "SLURM_CPUS_PER_TASK": "1",
        "SLURM_MEM_PER_CPU": "2000", "PBS_NODEFILE": str(home / "nodes"),
    }  # fmt: skip
