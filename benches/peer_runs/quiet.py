"""Runs one program and says what it took, and what other processes took meanwhile.

Comes in: a command. Goes out: its output, wall time, peak memory, and the share of a core that everything else
used. Not here: what to do about a disturbance.
"""
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A program ended with an error; the text is its last words."""


@dataclass
class Ran:
    out: str
    wall_s: float
    max_rss_bytes: int
    others_cores: float     # processor time of all other processes, per second
    stolen_cores: float     # time that the hypervisor kept back, per second


def processor_time():
    """Seconds of all processors since the machine started: busy, and stolen."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq, steal = (int(x) for x in stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def run(command, env=None, timeout_s=3600):
    """Runs `command` to its end. Raises Failed if it fails or takes longer than `timeout_s`."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        own, (busy, stolen), start = os.times(), processor_time(), time.monotonic()
        child = subprocess.Popen([str(x) for x in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                 env={**os.environ, **(env or {})})
        try:
            status, usage = wait(child, start + timeout_s)
        finally:
            if child.returncode is None:      # interrupted: nothing is left running
                child.kill()
                child.wait()
        wall = time.monotonic() - start
        (busy_after, stolen_after), own_after = processor_time(), os.times()
        out.seek(0)
        err.seek(0)
        if status != 0:
            said = (err.read() or out.read())[-600:]
            raise Failed(f"`{' '.join(str(x) for x in command)}` ended with {status}: {said}")
        ours = usage.ru_utime + usage.ru_stime + (own_after.user + own_after.system - own.user - own.system)
        return Ran(out.read(), wall, usage.ru_maxrss * 1024, max(0.0, (busy_after - busy - ours) / wall),
                   (stolen_after - stolen) / wall)


def wait(child, deadline):
    """The child's exit status and what it used; ends it at the deadline."""
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode, usage
        if time.monotonic() > deadline:
            child.kill()
        time.sleep(0.005)


def load_average():
    return os.getloadavg()[0]


def cpu_name():
    with open("/proc/cpuinfo") as info:
        return next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "n/a")


def physical_cores():
    """Cores, counting those of hyper-threading once."""
    cores = set()
    with open("/proc/cpuinfo") as info:
        package = "0"
        for line in info:
            if line.startswith("physical id"):
                package = line.split(":")[1].strip()
            if line.startswith("core id"):
                cores.add((package, line.split(":")[1].strip()))
    return len(cores) or os.cpu_count()
