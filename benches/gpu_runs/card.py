"""The card, as nvidia-smi tells it: what it is, how it is between two visits, and who else has it.

Goes out: plain data for the JSON; what nvidia-smi does not tell is None. No settings are changed.
"""
import subprocess

IDENTITY = {"name": "name", "driver_version": "driver", "compute_cap": "compute_capability",
            "memory.total": "memory_mib", "power.limit": "power_limit_w", "clocks.max.sm": "sm_clock_max_mhz"}
STATE = {"clocks.sm": "sm_clock_mhz", "clocks.mem": "memory_clock_mhz", "power.draw": "power_w",
         "temperature.gpu": "temperature_c", "memory.used": "memory_used_mib"}
# Its name before and since driver 535.
THROTTLE = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")
NO_CARD = ("there is no NVIDIA card here: nvidia-smi {why}\n"
           "run this on a machine with one; --list and --dry-run work anywhere")


class NoCard(Exception):
    """A sentence."""


def ask(what, fields, number):
    """The values of nvidia-smi's `fields`, in its words."""
    command = ["nvidia-smi", f"--{what}={','.join(fields)}", "--format=csv,noheader,nounits", f"--id={number}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCard(NO_CARD.format(why=f"did not run ({error})")) from None
    if done.returncode != 0:
        raise NoCard(NO_CARD.format(why=f"says: {(done.stdout or done.stderr).strip()[:300]}"))
    return [[value.strip() for value in line.split(",")] for line in done.stdout.splitlines() if line.strip()]


def known(value):
    """Numbers as numbers; None for what the driver does not tell."""
    if value.strip("[]").lower() in ("n/a", "not supported", "unknown error", ""):
        return None
    try:
        return float(value)
    except ValueError:
        return value


def identity(number):
    """What it is. Raises NoCard with a sentence where there is none."""
    values = ask("query-gpu", IDENTITY, number)[0]
    out = dict(zip(IDENTITY.values(), values))
    texts = ("name", "driver", "compute_capability")
    return {key: value if key in texts else known(value) for key, value in out.items()}


def state(number):
    """How it is now, with the reasons that hold its clocks, as the driver's bits, and the other processes on it."""
    out = dict(zip(STATE.values(), map(known, ask("query-gpu", STATE, number)[0])))
    out["throttle_bits"] = None
    for field in THROTTLE:
        try:
            out["throttle_bits"] = ask("query-gpu", [field], number)[0][0]
            break
        except NoCard:      # a name that this driver does not know
            continue
    out["processes"] = [line[0] for line in ask("query-compute-apps", ["pid"], number)]
    return out


def architecture(identity):
    """The capability as compilers name it: 9.0 is 90."""
    return identity["compute_capability"].replace(".", "")
