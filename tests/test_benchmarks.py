"""The benchmark harness runs, and its table and JSON have the promised form; no time is judged."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
MACHINE = {"cpu": "a", "cores": 2, "system": "b", "python": "c", "threads": 1, "busy": 0}


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_one_case_runs_and_is_written_as_json(tmp_path):
    path = tmp_path / "ops.json"
    command = ["ops", "--cases", "exp", "--peers", "numpy", "--rounds", "1", "--json", str(path)]

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "exp: volta above numpy" in done.stdout
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["version"] == 1
    assert {"cpu", "cores", "python", "packages", "threads"} <= written["machine"].keys()
    assert str(ROOT) not in path.read_text(encoding="utf-8")
    (group,) = written["groups"]
    assert group["group"] == "ops"
    found = {(m["case"], m["implementation"]) for m in group["measurements"]}
    assert found == {("exp", "volta"), ("exp", "numpy")}
    assert all(len(m["rounds"]) == 1 and m["median"] > 0 for m in group["measurements"])
    assert [budget["name"] for budget in group["budgets"]] == ["exp: volta above numpy"]
    assert group["failed"] == []
    assert group["absent"] == {}


def test_a_missing_peer_is_absent_and_a_wrong_case_fails_alone():
    from benchmarks.harness import Budget, Case, Group, Results, rounds, take
    from benchmarks.report import table

    group = Group(
        name="none",
        title="nothing",
        unit="s",
        scale=1.0,
        implementations={"nobody": ("no_such_module",)},
        case_names=("case",),
        cases=lambda name: [],
        budgets=lambda medians: [],
    )
    results = rounds(group, ["nobody"], ["case"], 1, 1, lambda line: None)
    assert results == Results(absent={"nobody": "no_such_module not installed"})

    results.failed["case", "nobody"] = "ValueError: wrong"
    text = table(group, results, ["nobody"], ["case"])
    assert "absent: nobody (no_such_module not installed)" in text
    assert "failed: nobody (case): ValueError: wrong" in text
    assert take(Case("direct", lambda: lambda: 3, direct=True)) == (3.0, None)
    assert Budget("limit", 2.0, 2.0, "µs").met


def test_results_that_differ_are_reported():
    from benchmarks.harness import Results

    results = Results(checks={("f", "a"): 1.0, ("f", "b"): 1.1, ("g", "b"): 2.0})

    assert results.disagreements() == ["f: b gives 1.1, a 1"]


def _group(**changed):
    from benchmarks.harness import Group

    return Group(
        **{
            "name": "none",
            "title": "nothing",
            "unit": "s",
            "scale": 1.0,
            "implementations": {"volta": ("volta",), "numpy": ("numpy",)},
            "case_names": ("f", "g"),
            "cases": lambda name: [],
            "budgets": lambda values: [],
            **changed,
        }
    )


def test_what_is_left_out_has_a_reason_and_is_not_run():
    from benchmarks.harness import Results, rounds
    from benchmarks.report import table

    group = _group(left_out={("f", "volta"): "it is hard", ("g", "numpy"): "it is harder"})

    results = rounds(group, ["volta"], ["f"], 1, 1, lambda line: None)

    assert results == Results()  # a worker would fail: there is no such group
    text = table(group, results, ["volta"], ["f"])
    assert "left out: volta (f): it is hard" in text
    assert "harder" not in text


# Before and now -----------------------------------------------------------------------------------


def _written(path, measurements, **changed):
    lines = [
        {"case": case, "implementation": name, "rounds": rounds}
        for (case, name), rounds in measurements.items()
    ]
    content = {
        "version": 1,
        "machine": {**MACHINE, "packages": {"numpy": "2.1"}},
        "groups": [{"group": "none", "measurements": lines}],
        **changed,
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_now_over_then_of_the_best_rounds(tmp_path):
    from benchmarks import compare
    from benchmarks.harness import Results

    then = {("f", "volta"): [9.0, 2.0, 8.0], ("g", "numpy"): [1.0]}
    earlier = compare.read(_written(tmp_path / "then.json", then))
    now = Results({("f", "volta"): [3.0, 1.0], ("f", "numpy"): [1.0]})

    names, cases = ["volta", "numpy"], ["f", "g"]
    lines = compare.table(_group(), now, names, cases, earlier).splitlines()

    assert lines == ["none: now over then, below 1 is faster now", "   volta", "f   0.50", "g"]
    lines = compare.table(_group(by_median=True), now, names, cases, earlier).splitlines()
    assert lines[2] == "f   0.25"
    nothing = compare.table(_group(name="other"), now, names, cases, earlier)
    assert nothing == "other: there is nothing to compare"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"no JSON", "must hold results that --json wrote"),
        (b"[1]", "must hold results that --json wrote"),
        (b"{}", "must hold results that --json wrote"),
        (b'{"version": 1, "machine": {}}', "must hold results that --json wrote"),
        (b'{"version": 0, "groups": []}', "must be of version 1; got version 0"),
    ],
)
def test_a_file_that_holds_no_results(tmp_path, capsys, content, message):
    from benchmarks.__main__ import main

    path = tmp_path / "then.json"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SystemExit) as stopped:
        main(["ops", "--compare", str(path)])

    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("rounds", [[], ["fast"], [None]])
def test_a_file_without_rounds(tmp_path, rounds):
    from benchmarks import compare

    path = _written(tmp_path / "then.json", {("f", "volta"): rounds})

    with pytest.raises(compare.ResultsFileError, match="must hold results"):
        compare.read(path)


def test_other_conditions_are_told():
    from benchmarks import compare

    then = {**MACHINE, "load": 1.0, "packages": {"numpy": "2.1", "torch": "2.8"}}
    now = {**MACHINE, "cpu": "z", "load": 2.0, "packages": {"numpy": "2.2", "torch": "2.8"}}

    assert compare.warnings(then, then) == []
    assert compare.warnings(now, then) == [
        "warning: cpu was a, and is z",
        "warning: numpy was 2.1, and is 2.2",
    ]


def test_a_run_is_compared_with_an_earlier_one_whatever_the_times(tmp_path, capfd):
    from benchmarks.__main__ import main

    place = ("exp", "volta")
    groups = json.loads(_written(tmp_path / "then.json", {place: [1e-9]}).read_text())["groups"]
    groups[0]["group"] = "ops"
    path = _written(tmp_path / "then.json", {}, groups=groups)

    code = main(["ops", "--cases", "exp", "--peers", "--rounds", "1", "--compare", str(path)])

    out = capfd.readouterr().out
    assert code == 0
    assert "warning: cpu was a, and is" in out
    assert "ops: now over then" in out


@pytest.mark.parametrize(
    ("argument", "message"),
    [(["nosuch"], "there is no group 'nosuch'"), (["--busy", "-1"], "a number of at least 0")],
)
def test_arguments_that_are_wrong(capsys, argument, message):
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit):
        main(argument)

    assert message in capsys.readouterr().err


# Beside busy processes ----------------------------------------------------------------------------

BUSY = """
import sys, time
from benchmarks.busy import busy
with busy(2) as ids:
    print(*ids, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM", "SIGKILL"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_busy_processes_end_with_their_parent(ending):
    parent = subprocess.Popen(
        [sys.executable, "-c", BUSY],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    ids = [int(word) for word in parent.stdout.readline().split()]
    assert len(ids) == 2

    parent.send_signal(getattr(signal, ending))

    try:  # they have its output, too: it ends when all of them have ended
        assert parent.communicate(timeout=30)[0] == ""
    except subprocess.TimeoutExpired:
        for process in ids:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        raise


def test_busy_processes_end_with_an_error_in_the_block():
    from benchmarks.busy import busy

    with suppress(ZeroDivisionError), busy(1) as ids:
        os.kill(ids[0], 0)
        raise ZeroDivisionError

    with pytest.raises(ProcessLookupError):
        os.kill(ids[0], 0)


def test_the_table_tells_of_busy_processes():
    from benchmarks.harness import Results
    from benchmarks.report import facts, table

    found = {**MACHINE, "load": 0.5, "packages": {}}

    assert "beside 1 busy process" in table(_group(), Results(), ["volta"], ["f"], busy=1)
    assert "busy" not in table(_group(), Results(), ["volta"], ["f"])
    assert "threads: 1, beside 2 busy processes" in facts({**found, "busy": 2})


# Groups -------------------------------------------------------------------------------------------


def test_groups_declare_the_cases_that_they_leave_out_and_no_others():
    from benchmarks.groups import GROUPS

    for group in GROUPS.values():
        assert len(set(group.case_names)) == len(group.case_names)
        for case, name in group.left_out:
            assert case in group.case_names, (group.name, case)
            assert name in group.implementations, (group.name, name)


@pytest.mark.parametrize("name", ["jit", "compile", "tensor_ops", "neural_networks"])
def test_volta_computes_every_case(name):
    from benchmarks.groups import GROUPS

    cases = GROUPS[name].cases("volta")

    assert [case.name for case in cases] == list(GROUPS[name].case_names)


@pytest.mark.parametrize("implementation", ["volta-jit", "numpy", "torch", "jax", "jax-jit"])
@pytest.mark.parametrize("group", ["tensor_ops", "neural_networks"])
def test_the_rust_framework_s_cases_agree(group, implementation):
    from benchmarks.groups import GROUPS

    group = GROUPS[group]
    for module in group.implementations[implementation]:
        pytest.importorskip(module)
    expected = {case.name: case for case in group.cases("volta")}
    cases = [
        c for c in group.cases(implementation) if (c.name, implementation) not in group.left_out
    ]

    for case in cases:
        pairs = zip(_leaves(case.setup()()), _leaves(expected[case.name].setup()()), strict=True)
        for leaf, other in pairs:
            np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-4, err_msg=case.name)

    omitted = [case for case, name in group.left_out if name == implementation]
    assert {case.name for case in cases} == {*group.case_names} - {*omitted}


def _leaves(result):
    if isinstance(result, list | tuple):
        return [leaf for part in result for leaf in _leaves(part)]
    return [np.asarray(result.detach() if hasattr(result, "detach") else result)]


def test_a_first_call_from_the_disk_follows_one_that_fills_it(monkeypatch):
    from benchmarks.groups import compile

    calls = []
    monkeypatch.setattr(compile, "_process", lambda *args: calls.append(args) or len(calls))

    assert compile._measurement("volta-disk", "f")() == 2
    assert compile._measurement("volta", "f")() == 3

    filled, from_it, cold = (folder for _, _, folder in calls)
    assert filled == from_it != cold
    assert not Path(cold).exists()


def test_first_calls_are_timed_in_processes_of_their_own(capfd):
    from benchmarks.__main__ import main

    case = "mlp 2-16-16-2, batch 4"
    code = main(["compile", "--cases", case, "--peers", "disk", "staged", "later", "--rounds", "1"])

    out = capfd.readouterr().out
    assert code == 0, out
    assert f"{case}: volta-disk but for staging and a call" in out


@pytest.mark.parametrize("implementation", ["volta", "volta-staged", "volta-later"])
@pytest.mark.parametrize("case", ["softmax, 4096×1024", "Hessian-vector product, mlp 64-128-10"])
def test_first_calls_of_functions(implementation, case):
    from benchmarks.groups.compile import first_call

    assert first_call(implementation, case) > 0


STEPS = ["mlp 2-16-16-2, batch 4", "convnet 1-8-16-10, 32×28²", "lstm 128-64, 32 steps, batch 32"]


@pytest.mark.parametrize("case", STEPS)
def test_autograd_trains_as_volta_does(case):
    pytest.importorskip("autograd")
    from benchmarks import namespaces
    from benchmarks.models import TRAINING

    losses = []
    for n in (namespaces.volta_eager(), namespaces.hips_autograd()):
        train = namespaces.trainer(n, *TRAINING[case](n))
        losses.append([float(train()) for _ in range(4)])

    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[0][-1] < losses[0][0]


def test_onnx_runtime_computes_what_volta_does(capfd):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from benchmarks.__main__ import main

    code = main(["jit", "--cases", "softmax, 4096×1024", "--peers", "onnxruntime", "--rounds", "1"])

    assert code == 0, capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_torch_compile_trains_as_volta_does(capfd):
    pytest.importorskip("torch")
    from benchmarks.__main__ import main

    code = main(["jit", "--cases", STEPS[0], "--peers", "compile", "--rounds", "1"])

    assert code == 0, capfd.readouterr().out


# GPUs ---------------------------------------------------------------------------------------------


def test_an_implementation_elsewhere_is_run_by_what_the_environment_names(monkeypatch):
    from benchmarks.harness import Elsewhere, rounds
    from benchmarks.report import table

    line = json.dumps({"case": "f", "value": 2.0, "check": 1.0})
    program = f"import sys; assert sys.argv[1:] == ['none', 'peer', 'f']; print({line!r})"
    group = _group(
        implementations={"peer": ()},
        elsewhere={"peer": Elsewhere("PEER", lambda found, *args: [found, "-c", program, *args])},
    )

    missing = rounds(group, ["peer"], ["f"], 1, 1, lambda line: None)
    monkeypatch.setenv("PEER", sys.executable)
    found = rounds(group, ["peer"], ["f"], 2, 1, lambda line: None)

    assert "absent: peer (PEER is not set)" in table(group, missing, ["peer"], ["f"])
    assert found.values == {("f", "peer"): [2.0, 2.0]}
    assert found.checks == {("f", "peer"): 1.0}


def test_a_worker_that_ends_fails_what_it_was_yet_to_measure(monkeypatch):
    from benchmarks.harness import Elsewhere, rounds

    line = json.dumps({"case": "f", "value": 2.0, "check": 1.0})
    program = f"import sys; print({line!r}); sys.exit('wgpu: the device is lost')"
    group = _group(
        implementations={"peer": ()},
        elsewhere={"peer": Elsewhere("PEER", lambda found, *args: [found, "-c", program, *args])},
    )
    monkeypatch.setenv("PEER", sys.executable)
    found = rounds(group, ["peer"], ["f", "g"], 2, 1, lambda line: None)

    assert found.values == {("f", "peer"): [2.0, 2.0]}
    assert found.failed == {("g", "peer"): "worker exited with 1: wgpu: the device is lost"}


def test_what_is_compared_is_the_case_s_own():
    from benchmarks.gpu.problems import squares
    from benchmarks.harness import Case, take

    values = np.asarray([1.0, -2.0])
    assert take(Case("f", lambda: lambda: values))[1] == -1
    assert take(Case("f", lambda: lambda: values, check=squares))[1] == 5


def test_numbers_that_every_language_draws():
    from benchmarks.gpu.problems import numbers

    found = numbers((3, 1000), 2)

    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() < 1
    assert abs(found.mean() - 0.5) < 0.02
    assert found[0, 0] != numbers((1,), 1)[0]
    # what jax.mjs draws
    np.testing.assert_allclose(found[0, :2], EXPECTED, rtol=1e-6)


EXPECTED = 0.019421696662902832, 0.2647276520729065
SMALL = ("mlp 64-128-10, batch 64", "sums of rows, 1024×1024")


def _wgpu_cases(name):
    from benchmarks.groups import GROUPS

    return {case.name: case for case in GROUPS["wgpu"].cases(name)}


def test_the_host_computes_every_case_of_a_gpu():
    from benchmarks.groups import GROUPS

    for group in ("wgpu", "gpu_comparison"):
        cases = GROUPS[group].cases("host")
        assert [case.name for case in cases] == list(GROUPS[group].case_names)


@pytest.fixture
def device():
    wgpu = pytest.importorskip("volta.wgpu")
    if not wgpu.devices():
        pytest.skip("no driver of a device")
    yield wgpu.devices()[0]
    wgpu.devices()[0].reset()


@pytest.mark.parametrize("case", SMALL)
def test_a_gpu_computes_what_the_host_does(case, device):
    from benchmarks.harness import take

    (_, found), (_, expected) = (take(_wgpu_cases(name)[case]) for name in ("volta", "host"))

    assert found == pytest.approx(expected, rel=1e-4)


def test_a_device_has_bounds(device):
    cases = _wgpu_cases("roofline")

    assert 0 < cases["matmul 256"].setup()() < cases["matmul 512"].setup()()


def test_a_gpu_and_the_host_are_compared_on_the_same(device):
    from benchmarks.groups.gpu_comparison import GROUP

    assert {*GROUP.case_names} > LARGE
    pairs = zip(GROUP.cases("volta"), GROUP.cases("host"), strict=True)
    for case, expected in pairs:
        if case.name in LARGE:
            continue
        with case.around():
            found, wanted = case.setup()(), expected.setup()()
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6, err_msg=case.name)
            del found


LARGE = {"matmul, 1024²", "matmul, 2048²"}  # of seconds where a device is the host
KERNELS = {
    "relu, 20 launches of 256": 20,
    "relu, 20 of 256 in one program": 1,
    "relu, one launch of 5120": 1,
    "to the device, 1024": 0,
}


@pytest.mark.parametrize("name", KERNELS)
def test_launches_are_as_many_as_a_case_says(name, device):
    from benchmarks.groups.gpu_comparison import GROUP

    (case,) = (c for c in GROUP.cases("volta") if c.name == name)
    call = case.setup()
    call()
    before = device.counts
    call()

    assert device.counts.kernels - before.kernels == KERNELS[name]
    assert device.counts.submissions - before.submissions == 1  # and it was waited for
    assert not device.queue.is_busy


# What guards a device ----------------------------------------------------------------------------


def _guarded(call):
    from benchmarks.gpu.guard import on_first_device
    from benchmarks.harness import Case

    (case,) = on_first_device([Case("one", lambda: call, direct=True)])
    return case


@pytest.mark.parametrize("group", ["wgpu", "gpu_comparison"])
def test_cases_on_a_device_are_guarded_there(group, device):
    from benchmarks.gpu.guard import guarded
    from benchmarks.groups import GROUPS

    for case in GROUPS[group].cases("volta"):
        assert (case.around.func, case.around.args) == (guarded, (device,))


def test_a_case_has_limits_and_the_device_gets_its_own_back(device):
    from benchmarks.gpu import guard
    from benchmarks.harness import take

    found = []
    limits = device.memory_limit, device.patience
    take(_guarded(lambda: found.append((device.memory_limit, device.patience)) or 1))

    assert found == [(guard.MEMORY, guard.PATIENCE)] != [limits]
    assert (device.memory_limit, device.patience) == limits


def test_a_case_that_leaves_memory_fails(device):
    import volta.wgpu
    from benchmarks.gpu.guard import LeftoverError
    from benchmarks.harness import take

    kept = []

    def keep():
        kept.append(volta.wgpu.asarray(np.ones(1000, np.float32)))
        device.synchronize()
        return 1

    with pytest.raises(LeftoverError, match=r"left 4,096 bytes in use \(most: test_benchmarks"):
        take(_guarded(keep))
    take(_guarded(lambda: 1))  # what another one left is not held against it


def test_a_case_that_does_not_wait_fails(device):
    import volta
    import volta.wgpu
    from benchmarks.gpu.guard import LeftoverError
    from benchmarks.harness import take

    def call():
        volta.jit(lambda x: x + 1)(volta.wgpu.asarray(np.ones(1000, np.float32)))
        return 1

    with pytest.raises(LeftoverError, match="must wait for its work"):
        take(_guarded(call))


def test_a_case_does_not_begin_if_the_host_has_no_memory(device, monkeypatch):
    from benchmarks.harness import take
    from volta.wgpu import pressure

    monkeypatch.setattr(pressure, "host_memory", lambda: pressure.Host(0, 1000))

    with pytest.raises(MemoryError, match="1,073,741,824 bytes free; got 1,000"):
        take(_guarded(lambda: pytest.fail("it began")))


def test_an_error_that_is_only_a_case_s_does_not_end_the_worker(device, monkeypatch):
    import volta
    import volta.wgpu
    from benchmarks.gpu import guard
    from benchmarks.harness import take

    monkeypatch.setattr(guard, "MEMORY", 1 << 16)

    with pytest.raises(volta.DeviceError, match="in use of at most 65,536"):
        take(_guarded(lambda: volta.wgpu.asarray(np.ones(1 << 16, np.float32))))
    assert take(_guarded(lambda: 1.0)) == (1.0, None)


def test_a_device_that_is_lost_ends_the_worker(device, monkeypatch, capsys):
    import volta.wgpu
    from benchmarks import worker
    from benchmarks.groups import GROUPS

    def lose():
        device.queue.native.destroy()
        return float(volta.wgpu.asarray(1.0) + 1)

    group = replace(GROUPS["gpu_comparison"], cases=lambda _: [_guarded(lose), _guarded(lose)])
    monkeypatch.setitem(GROUPS, "gpu_comparison", group)

    with pytest.raises(SystemExit, match="the device must be there; it is lost"):
        worker.main("gpu_comparison", "volta")
    assert not capsys.readouterr().out


def test_a_device_that_is_late_ends_the_worker(device, monkeypatch):
    from benchmarks.gpu import guard
    from benchmarks.groups import GROUPS
    from benchmarks.harness import take

    monkeypatch.setattr(guard, "PATIENCE", 1e-4)
    (case,) = (c for c in GROUPS["wgpu"].cases("volta") if c.name == "matmul 512")

    with pytest.raises(SystemExit, match=r"must be done within 0\.0001 seconds"):
        take(case)
    device.synchronize()
