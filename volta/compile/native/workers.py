"""Threads that wait inside native code for parts of a loop.

A Python pool takes 50 µs to fork and join, and OpenBLAS's own threads collapse beside another busy
process. Here a job is a native function of a number: the calling thread takes numbers one after
another, and so does every worker that wakes up in time. One that does not is not waited for. While
one thread of Python has a job, others run theirs alone.

Workers spin for some microseconds, then sleep on a futex (Linux; elsewhere there are none). They
hold no Python object, block all signals, and end with the process. A child after ``fork`` starts
its own with its first job.
"""

import ctypes
import functools
import os
import sys
from collections.abc import Sequence
from typing import Final

from volta.compile.native import machine
from volta.compile.native.vectors import Block
from volta.compile.threads import threads as processors

__all__ = ["RUN", "define", "put_job", "take_job", "take_share", "threads"]

RUN: Final = "volta_run"
_MOST: Final = 32  # OpenBLAS has memory for 64 threads that call it, and ends the process beyond


def threads() -> int:
    """How many threads compute a loop."""
    return min(_MOST, processors()) if sys.platform.startswith("linux") else 1


def put_job(
    block: Block,
    function: str,
    context: Sequence[tuple[str, str]],
    count: int,
    shared: bool = True,
) -> None:
    """Call a function of a context and a number for all numbers below `count`.

    Parameters
    ----------
    context : sequence of (str, str)
        Types, of 8 bytes, and values of what it gets, by `take_job`.
    shared : bool
        Whether workers help.
    """
    memory = block.let(f"alloca [{len(context)} x ptr]")
    for i, (kind, value) in enumerate(context):
        place = block.let(f"getelementptr ptr, ptr {memory}, i64 {i}")
        block.put(f"store {kind} {value}, ptr {place}")
    if not shared:

        def turn(index: str, _: list[str]) -> list[str]:
            block.put(f"call void @{function}(ptr {memory}, i64 {index})")
            return []

        block.loop(count, 1, [], turn)
        return
    define()
    args = ("ptr", f"@{function}"), ("ptr", memory), ("i64", str(count))
    block.put(block.call("void", RUN, *args))


def take_job(block: Block, kinds: Sequence[str]) -> list[str]:
    """What is in the context of a function (ptr %context, i64 %task)."""
    places = (block.let(f"getelementptr ptr, ptr %context, i64 {i}") for i in range(len(kinds)))
    return [block.let(f"load {k}, ptr {p}") for k, p in zip(kinds, places, strict=True)]


def take_share(block: Block, step: int, count: int, task: str = "%task") -> tuple[str, str]:
    """Of `count` things the first one of a task, which has `step` of them, and the one after."""
    first = block.let(f"mul i64 {task}, {step}")
    return first, block.least(block.let(f"add i64 {first}, {step}"), count)


@functools.cache
def define() -> None:
    """Define `RUN` for native code."""
    code, _ = machine.compiled(_text(threads() - 1, machine.pause()))
    machine.keep(code)  # its threads may be there until the process ends
    machine.define(RUN, code.get_function_address(RUN))
    reset = ctypes.CFUNCTYPE(None)(code.get_function_address("volta_reset"))
    os.register_at_fork(after_in_child=reset)


# Words of the state, each on a cache line of its own.
_LINE: Final = 8  # of 8 bytes
_WORDS: Final = (
    *("lock", "next", "count", "function", "context", "gate", "turn", "sleepers", "started"),
    *("balance", "rest", "until"),
)
_SHUT: Final = 1 << 32  # of the gate: no worker may join; below it is how many have
_ASLEEP: Final = 1 << 33  # of the gate: who has the job sleeps until all have left
_SPINS: Final = 2000  # some 50 µs
_WAIT: Final = 128  # FUTEX_WAIT and FUTEX_WAKE of one process alone
_WAKE: Final = 129
# Nanoseconds. What workers save a thread and what it waits for them is balanced, up to a limit.
# Where it waits more, it does its jobs alone for a time: longer each time, until they save it some.
_MOST_SAVED: Final = 10_000_000
_MOST_WAITED: Final = -1_000_000
_REST: Final = 16_000_000
_LONGEST_REST: Final = 512_000_000


def _text(count: int, pause: str) -> str:
    """Text of the module."""
    declared = f"declare {pause.removeprefix('call ')}" if pause else ""
    futex = {"x86_64": 202, "aarch64": 98}.get(os.uname().machine, 202)
    at = {
        word: f"getelementptr (i64, ptr @state, i64 {i * _LINE})" for i, word in enumerate(_WORDS)
    }
    return f"""
declare i64 @syscall(i64, ...)
declare i32 @clock_gettime(i32, ptr)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(i64)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @sigfillset(ptr)
{declared}
@state = internal global [{_LINE * len(_WORDS)} x i64] zeroinitializer, align 64

define void @volta_reset() nounwind {{
  store atomic i64 0, ptr {at["lock"]} seq_cst, align 8
  store atomic i64 0, ptr {at["sleepers"]} seq_cst, align 8
  store atomic i64 0, ptr {at["started"]} seq_cst, align 8
  store atomic i64 {_SHUT}, ptr {at["gate"]} seq_cst, align 8
  ret void
}}

define internal i64 @now() nounwind {{
  %time = alloca [2 x i64]
  %r = call i32 @clock_gettime(i32 1, ptr %time)
  %seconds = load i64, ptr %time
  %second = getelementptr i64, ptr %time, i64 1
  %rest = load i64, ptr %second
  %whole = mul i64 %seconds, 1000000000
  %now = add i64 %whole, %rest
  ret i64 %now
}}

define internal i64 @take() nounwind {{
entry:
  %function = load ptr, ptr {at["function"]}
  %context = load ptr, ptr {at["context"]}
  %count = load i64, ptr {at["count"]}
  br label %next
next:
  %done = phi i64 [0, %entry], [%more, %do]
  %i = atomicrmw add ptr {at["next"]}, i64 1 seq_cst
  %some = icmp ult i64 %i, %count
  br i1 %some, label %do, label %end
do:
  call void %function(ptr %context, i64 %i)
  %more = add i64 %done, 1
  br label %next
end:
  ret i64 %done
}}

define internal void @weigh(i64 %saved, i64 %waited, i64 %now) nounwind {{
entry:
  %before = load i64, ptr {at["balance"]}
  %more = add i64 %before, %saved
  %sum = sub i64 %more, %waited
  %high = icmp sgt i64 %sum, {_MOST_SAVED}
  %new = select i1 %high, i64 {_MOST_SAVED}, i64 %sum
  %low = icmp slt i64 %new, {_MOST_WAITED}
  %rested = load i64, ptr {at["rest"]}
  br i1 %low, label %rest, label %go
rest:
  %doubled = mul i64 %rested, 2
  %short = icmp slt i64 %doubled, {_REST}
  %first = select i1 %short, i64 {_REST}, i64 %doubled
  %long = icmp sgt i64 %first, {_LONGEST_REST}
  %time = select i1 %long, i64 {_LONGEST_REST}, i64 %first
  %until = add i64 %now, %time
  store i64 %time, ptr {at["rest"]}
  store atomic i64 %until, ptr {at["until"]} seq_cst, align 8
  store i64 0, ptr {at["balance"]}
  ret void
go:
  %kept = select i1 %high, i64 0, i64 %rested
  store i64 %kept, ptr {at["rest"]}
  store i64 %new, ptr {at["balance"]}
  ret void
}}

define internal ptr @work(ptr %first) nounwind {{
entry:
  %began = ptrtoint ptr %first to i64
  br label %watch
watch:
  %seen = phi i64 [%began, %entry], [%turn, %left], [%turn, %join]
  br label %spin
spin:
  %spins = phi i64 [0, %watch], [%more, %again], [0, %woken]
  %turn = load atomic i64, ptr {at["turn"]} seq_cst, align 8
  %new = icmp ne i64 %turn, %seen
  br i1 %new, label %join, label %wait
wait:
  {pause}
  %more = add i64 %spins, 1
  %tired = icmp ugt i64 %more, {_SPINS}
  br i1 %tired, label %sleep, label %again
again:
  br label %spin
sleep:
  %s0 = atomicrmw add ptr {at["sleepers"]}, i64 1 seq_cst
  %word = trunc i64 %seen to i32
  %r = call i64 (i64, ...) @syscall(i64 {futex}, ptr {at["turn"]}, i64 {_WAIT}, i32 %word, ptr null)
  %s1 = atomicrmw sub ptr {at["sleepers"]}, i64 1 seq_cst
  br label %woken
woken:
  br label %spin
join:
  %gate = load atomic i64, ptr {at["gate"]} seq_cst, align 8
  %shut = icmp uge i64 %gate, {_SHUT}
  br i1 %shut, label %watch, label %enter
enter:
  %one = add i64 %gate, 1
  %pair = cmpxchg ptr {at["gate"]}, i64 %gate, i64 %one seq_cst seq_cst
  %in = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %in, label %joined, label %join
joined:
  %done = call i64 @take()
  %g1 = atomicrmw sub ptr {at["gate"]}, i64 1 seq_cst
  %last = icmp eq i64 %g1, {_SHUT + _ASLEEP + 1}
  br i1 %last, label %rouse, label %left
rouse:
  %r1 = call i64 (i64, ...) @syscall(i64 {futex}, ptr {at["gate"]}, i64 {_WAKE}, i64 1)
  br label %left
left:
  br label %watch
}}

define internal void @start() nounwind {{
entry:
  %set = alloca [16 x i64]
  %old = alloca [16 x i64]
  %id = alloca i64
  %r0 = call i32 @sigfillset(ptr %set)
  %r1 = call i32 @pthread_sigmask(i32 0, ptr %set, ptr %old)
  %turn = load atomic i64, ptr {at["turn"]} seq_cst, align 8
  %seen = inttoptr i64 %turn to ptr
  br label %one
one:
  %n = phi i64 [0, %entry], [%m, %made]
  %failed = call i32 @pthread_create(ptr %id, ptr null, ptr @work, ptr %seen)
  %ok = icmp eq i32 %failed, 0
  br i1 %ok, label %made, label %end
made:
  %thread = load i64, ptr %id
  %r2 = call i32 @pthread_detach(i64 %thread)
  %m = add i64 %n, 1
  %more = icmp ult i64 %m, {count}
  br i1 %more, label %one, label %end
end:
  %r3 = call i32 @pthread_sigmask(i32 2, ptr %old, ptr null)
  store atomic i64 1, ptr {at["started"]} seq_cst, align 8
  ret void
}}

define void @{RUN}(ptr %function, ptr %context, i64 %count) nounwind {{
entry:
  %began = call i64 @now()
  %until = load atomic i64, ptr {at["until"]} seq_cst, align 8
  %rests = icmp slt i64 %began, %until
  br i1 %rests, label %alone, label %try
try:
  %pair = cmpxchg ptr {at["lock"]}, i64 0, i64 1 seq_cst seq_cst
  %free = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %free, label %mine, label %alone
alone:
  %i = phi i64 [0, %entry], [0, %try], [%j, %alone]
  call void %function(ptr %context, i64 %i)
  %j = add i64 %i, 1
  %some = icmp ult i64 %j, %count
  br i1 %some, label %alone, label %end
mine:
  %started = load atomic i64, ptr {at["started"]} seq_cst, align 8
  %there = icmp ne i64 %started, 0
  br i1 %there, label %publish, label %begin
begin:
  call void @start()
  br label %publish
publish:
  store ptr %function, ptr {at["function"]}
  store ptr %context, ptr {at["context"]}
  store i64 %count, ptr {at["count"]}
  store atomic i64 0, ptr {at["next"]} seq_cst, align 8
  store atomic i64 0, ptr {at["gate"]} seq_cst, align 8
  %t = atomicrmw add ptr {at["turn"]}, i64 1 seq_cst
  %sleepers = load atomic i64, ptr {at["sleepers"]} seq_cst, align 8
  %asleep = icmp ne i64 %sleepers, 0
  br i1 %asleep, label %wake, label %go
wake:
  %r = call i64 (i64, ...) @syscall(i64 {futex}, ptr {at["turn"]}, i64 {_WAKE}, i64 {count})
  br label %go
go:
  %own = call i64 @take()
  %g = atomicrmw or ptr {at["gate"]}, i64 {_SHUT} seq_cst
  %ended = call i64 @now()
  br label %check
check:
  %spins = phi i64 [0, %go], [%more, %pause]
  %gate = load atomic i64, ptr {at["gate"]} seq_cst, align 8
  %none = icmp eq i64 %gate, {_SHUT}
  br i1 %none, label %done, label %pause
pause:
  {pause}
  %more = add i64 %spins, 1
  %tired = icmp ugt i64 %more, {_SPINS}
  br i1 %tired, label %sleep, label %check
sleep:
  %gs = atomicrmw or ptr {at["gate"]}, i64 {_ASLEEP} seq_cst
  %in = trunc i64 %gs to i32
  %left = icmp eq i32 %in, 0
  br i1 %left, label %done, label %doze
doze:
  %rs = call i64 (i64, ...) @syscall(i64 {futex}, ptr {at["gate"]}, i64 {_WAIT}, i32 %in, ptr null)
  br label %sleep
done:
  %last = call i64 @now()
  %waited = sub i64 %last, %ended
  %busy = sub i64 %ended, %began
  %others = sub i64 %count, %own
  %work = mul i64 %busy, %others
  %some_own = icmp ugt i64 %own, 0
  %by = select i1 %some_own, i64 %own, i64 1
  %saved = sdiv i64 %work, %by
  call void @weigh(i64 %saved, i64 %waited, i64 %last)
  store atomic i64 0, ptr {at["lock"]} seq_cst, align 8
  br label %end
end:
  ret void
}}
"""
