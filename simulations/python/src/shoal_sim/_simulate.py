"""The program's commands as functions."""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from ._program import call
from ._results import read_table
from ._toml import to_toml

Scenario = Mapping[str, Any]
Program = str | os.PathLike[str] | None


def presets(*, program: Program = None) -> dict[str, str]:
    """The names of the presets and what they are about."""
    lines = call(["new", "--list"], program=program).stdout.splitlines()
    parts = (line.split(maxsplit=1) for line in lines if line.strip())
    return {part[0]: part[1] if len(part) > 1 else "" for part in parts}


def preset(name: str, *, program: Program = None) -> dict[str, Any]:
    """A preset's scenario, to be changed and run."""
    return tomllib.loads(call(["new", name, "--output", "-"], program=program).stdout)


def run(
    scenario: Scenario | str | os.PathLike[str],
    *,
    seed: int | None = None,
    repetitions: int | None = None,
    threads: int | None = None,
    out: str | os.PathLike[str] | None = None,
    table: str = "runs",
    program: Program = None,
) -> pd.DataFrame:
    """Runs a scenario and gives one of its tables.

    ``scenario`` is a dict in the form of the TOML file, or the path of such a file. ``table`` is
    ``runs`` (a row for each repetition, a column for each metric), ``targets``, ``bins``,
    ``latency``, or ``summary`` (a row for each metric with its mean and 95% interval). With ``out``
    all files stay in that folder, else they are removed.

    ``DataFrame.attrs`` holds version, scenario_hash, seed and repetitions.

    Raises ShoalSimError with the program's message.
    """
    with _file(scenario, json.dumps, "scenario.json") as path, _folder(out) as folder:
        arguments = ["run", path, "--out", folder, "--json"]
        arguments += _options(seed=seed, repetitions=repetitions, threads=threads)
        summary = json.loads(call(arguments, program=program).stdout)
        return _summary(summary) if table == "summary" else read_table(folder / table)


def sweep(
    definition: Scenario | str | os.PathLike[str],
    *,
    seed: int | None = None,
    repetitions: int | None = None,
    threads: int | None = None,
    out: str | os.PathLike[str] | None = None,
    table: str = "results",
    program: Program = None,
) -> pd.DataFrame:
    """Runs a sweep and gives its table of results: a row for each point.

    ``definition`` is a dict in the form of the TOML file, or its path; give a path if it names
    other files. With ``out`` the files stay in that folder, and a second call does only what is
    missing. ``table`` is ``results``, ``runs`` (a row for each repetition) or ``claims``.

    Raises ShoalSimError with the program's message.
    """
    with _file(definition, to_toml, "sweep.toml") as path, _folder(out) as folder:
        arguments = ["sweep", path, "--out", folder, "--json"]
        arguments += _options(seed=seed, repetitions=repetitions, threads=threads)
        call(arguments, program=program)
        return read_table(folder / table)


def reproduce(
    name: str, *, seed: int | None = None, quick: bool = False, program: Program = None
) -> pd.DataFrame:
    """Reproduces a published result: a row for each point, with ours, the reference, the tolerance.

    ``quick`` takes seconds, with large standard errors. ``DataFrame.attrs["holds"]`` says whether all gated points hold.

    Raises ShoalSimError with the program's message.
    """
    arguments = ["reproduce", name, "--json", *_options(seed=seed, quick=quick)]
    done = call(arguments, program=program, accept=(0, 3))
    result = json.loads(done.stdout)
    frame = pd.DataFrame(result.pop("points"))
    frame.attrs.update(result)
    frame.attrs["holds"] = done.returncode == 0
    return frame


def advise(*, program: Program = None, **constraints: float | str | bool) -> dict[str, Any]:
    """Proposes a network; the keywords are the options of ``shoal-sim advise``, with underscores.

    ``advise(users=10_000, p99=3, bandwidth=2000, corrupt=0.1)``; an option without a value is
    ``True``.

    Raises ShoalSimError with the program's message; its ``exit_code`` is 3 if nothing fits.
    """
    arguments = ["advise", "--json", *_options(**constraints)]
    return json.loads(call(arguments, program=program).stdout)


def _options(**values: float | str | bool | None) -> list[str]:
    options = []
    for name, value in values.items():
        if value is None or value is False:
            continue
        options.append(f"--{name.replace('_', '-')}")
        if value is not True:
            options.append(str(value))
    return options


def _summary(summary: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(summary["metrics"])
    frame.attrs.update({key: str(value) for key, value in summary["meta"].items()})
    return frame


@contextmanager
def _file(
    content: Scenario | str | os.PathLike[str],
    written: Callable[[Scenario], str],
    name: str,
) -> Iterator[Path]:
    if not isinstance(content, Mapping):
        yield Path(content)
        return
    with tempfile.TemporaryDirectory(prefix="shoal-sim-") as folder:
        path = Path(folder) / name
        path.write_text(written(content), encoding="utf-8")
        yield path


@contextmanager
def _folder(out: str | os.PathLike[str] | None) -> Iterator[Path]:
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory(prefix="shoal-sim-") as folder:
        yield Path(folder)
