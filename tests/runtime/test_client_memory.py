"""What the client and a scheduler beside it keep of tasks that are done."""

from __future__ import annotations

import gc

from smdown.plan import Plan
from smdown.runtime import Profile, Progress, execute, open_client
from smdown.runtime.clusters import LocalCluster
from smdown.testing import TrialTask, run_trial


def test_tasks_that_are_done_are_forgotten(tmp_path):
    tasks = tuple(TrialTask(f"t{n}", str(tmp_path)) for n in range(150))
    known = {id(task) for task in tasks}
    with open_client(Profile(cluster=LocalCluster(workers=1, memory="1GiB"))) as client:
        outcome = execute(Plan("trial", tasks, run_trial, 0), client, Progress())
        gc.collect()
        kept = [found for found in gc.get_objects() if type(found) is TrialTask and id(found) not in known]
    assert len(outcome.receipts) == 150
    assert len(kept) < 50
