"""What a compiled program shows without running: copies and kernels in loops, estimated cycles."""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence

Computations = Mapping[str, Sequence[str]]  # lines by name; the entry's name is ENTRY

ENTRY = "ENTRY"
_OPENS = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
_CALLS = re.compile(r"(?:calls|to_apply|body|condition)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_BODY = re.compile(r"\bwhile\(.*\bbody=%?([\w.\-]+)")
_COPY = re.compile(r"= \w+\[([\d,]*)\]\S* copy\(")
_KERNEL = re.compile(r"= (?:\(.*?\)|\S+) (?:copy|custom-call|fusion|sort)\(")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')


@dataclasses.dataclass(frozen=True)
class Cycles:
    """The TPU compiler's own cost model; other compilers give none."""

    outside: int  # of one call, without its loops
    loops: tuple[int, ...]  # of one pass of each loop, without the loops inside it

    def per_unit(self, loop_passes: int | None) -> int:
        """Cycles of a call whose loops make so many passes each; None: of the costliest loop's."""
        if loop_passes is None:
            return max(self.loops)
        return self.outside + loop_passes * sum(self.loops)


def computations(text: str) -> Computations:
    """Splits the text of an HLO module."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if opened := _OPENS.match(line):
            lines = found.setdefault(ENTRY if opened[1] else opened[2], [])
        else:
            lines.append(line)
    return found


def count_loop_copies(text: str, n_values: int) -> int:
    """Counts copies of arrays of at least `n_values` values in loops and what they call."""
    found = computations(text)
    inside: set[str] = set()
    waiting = list(_loop_bodies(found))
    while waiting:
        name = waiting.pop()
        if name not in inside:
            inside.add(name)
            waiting += [called for line in found[name] for called in _called(line)]
    shapes = [shape for name in inside for line in found[name] for shape in _COPY.findall(line)]
    return sum(math.prod(map(int, filter(None, s.split(",")))) >= n_values for s in shapes)


def count_loop_kernels(text: str) -> int:
    """Counts what a GPU starts for one pass of the loop that starts most. Branches are left out."""
    found = computations(text)
    passes = [sum(bool(_KERNEL.search(line)) for line in found[b]) for b in _loop_bodies(found)]
    return max(passes, default=0)


def estimate_cycles(text: str) -> Cycles | None:
    """Sums of the operations' estimates. Branches are left out: sampling's are off by default."""
    found = computations(text)

    def total(name: str) -> int:
        return sum(int(cycles) for line in found[name] for cycles in _CYCLES.findall(line))

    loops = tuple(total(name) for name in _loop_bodies(found))
    return Cycles(total(ENTRY), loops) if _CYCLES.search(text) else None


def _loop_bodies(found: Computations) -> Iterator[str]:
    for lines in found.values():
        for line in lines:
            yield from _BODY.findall(line)


def _called(line: str) -> Iterator[str]:
    yield from _CALLS.findall(line)
    for branches in _BRANCHES.findall(line):
        yield from (name.strip().lstrip("%") for name in branches.split(","))
