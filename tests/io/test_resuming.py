"""Training that is killed at any moment goes on to the same bits."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import training_run

import volta
from volta import io, tree

TESTS = Path(training_run.__file__).parent
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(Path(volta.__file__).parents[1]), str(TESTS)]),
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


def bits(parts):
    """Paths of all leaves with their types, shapes and bytes."""
    return [
        (path, type(x).__name__, getattr(x, "dtype", None), np.shape(x), np.asarray(x).tobytes())
        if not isinstance(x, int | str)
        else (path, x)
        for path, x in tree.leaves_with_path(parts)
    ]


def saved_and_restored(goal, directory):
    """Parts of an uninterrupted run, as a checkpoint would give them."""
    checkpoints = io.Checkpoints(directory)
    checkpoints.save(goal, **training_run.train(goal))
    return checkpoints.restore().parts


@POSIX
@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_run_ends_as_one_that_was_not(tmp_path, kills):
    moments = random.Random(kills)
    directory, progress = tmp_path / "run", []
    for kill in range(kills):
        how = ["asynchronous"] if kill % 2 else []
        command = [sys.executable, TESTS / "training_run.py", directory, "1000000", *how]
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as run:
            assert run.stdout.readline() == b"begins\n"
            while kill + 1 == kills and not io.Checkpoints(directory).steps and run.poll() is None:
                time.sleep(0.01)  # or else a slow machine has nothing to go on from
            time.sleep(moments.uniform(0.02, 0.25))
            run.kill()
        assert run.returncode == -signal.SIGKILL
        checkpoints = io.Checkpoints(directory)
        assert all(len(checkpoints.restore(step).parts) == 9 for step in checkpoints.steps)
        progress.append(checkpoints.latest or 0)
    assert progress == sorted(progress)
    assert progress[-1] > 0
    goal = progress[-1] + 3
    command = [sys.executable, TESTS / "training_run.py", directory, str(goal)]
    subprocess.run(command, env=ENVIRONMENT, check=True)
    assert io.Checkpoints(directory).steps == [goal - 2, goal - 1, goal]
    assert not list(directory.glob(".volta-*"))
    found = io.Checkpoints(directory).restore()
    assert found.step == goal
    assert bits(found.parts) == bits(saved_and_restored(goal, tmp_path / "other"))


MOMENTS = {
    "while files are written": ("safetensors.write", 1),
    "before the first file is on the disk": ("files.os.fsync", 1),
    "before the last file is on the disk": ("files.os.fsync", 3),
    "before the step has its name": ("files.os.rename", 1),
    "when it has it": ("files._sync_directory", 2),
    "before the earlier step loses its name": ("files.os.rename", 2),
    "while the earlier step is deleted": ("files.shutil.rmtree", 1),
}
KILLED = """
import os, signal, sys
import numpy as np
from volta.io import checkpoint, files, safetensors

place, _, name = sys.argv[2].rpartition(".")
owner = eval(place)
function, calls = getattr(owner, name), 0

def killing(*args, **kwargs):
    global calls
    calls += 1
    if calls == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return function(*args, **kwargs)

with checkpoint.Checkpoints(sys.argv[1], max_to_keep=1) as checkpoints:
    checkpoints.save(1, a=np.ones(3), b=np.zeros(2))
    setattr(owner, name, killing)
    checkpoints.save(2, a=np.ones(3), b=np.zeros(2))
"""


@POSIX
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_step_is_complete_or_absent(tmp_path, moment):
    name, calls = MOMENTS[moment]
    command = [sys.executable, "-c", KILLED, tmp_path, name, str(calls)]
    done = subprocess.run(command, env=ENVIRONMENT, check=False)
    assert done.returncode == -signal.SIGKILL
    checkpoints = io.Checkpoints(tmp_path, max_to_keep=1)
    both = moment in list(MOMENTS)[4:6]
    absent = moment in list(MOMENTS)[:4]
    assert checkpoints.steps == ([1] if absent else [1, 2] if both else [2])
    for step in checkpoints.steps:
        np.testing.assert_array_equal(checkpoints.restore(step).parts["a"], np.ones(3))
    assert bool(list(tmp_path.glob(".volta-*"))) is not both  # and a reader removes nothing
    checkpoints.save(3, a=np.ones(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "step-3"]
