"""Finding the program and calling it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

NAME = "shoal-sim"


class ShoalSimError(RuntimeError):
    """The program refused its input or failed; the message is the program's.

    ``exit_code`` is the program's: 1 failed, 2 the input was refused, 3 the answer is no. It is
    ``None`` if the program could not be started.
    """

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def find_program(program: str | os.PathLike[str] | None = None) -> str:
    """The path of the program: the argument, else ``$SHOAL_SIM``, ``PATH``, the repository."""
    for source, given in (("program", program), ("$SHOAL_SIM", os.environ.get("SHOAL_SIM"))):
        if given:
            found = shutil.which(os.fspath(given))
            if found is None:
                raise ShoalSimError(f"{source} is {os.fspath(given)!r}, which is no program")
            return found
    found = shutil.which(NAME)
    if found is not None:
        return found
    for candidate in _built():
        if shutil.which(candidate) is not None:
            return str(candidate)
    raise ShoalSimError(
        f"{NAME} was not found: put it on PATH, or set SHOAL_SIM to its path, or build it with "
        "`cargo build --release -p shoal-simulations`"
    )


def _built() -> list[Path]:
    """Where cargo puts the program: the fast one first."""
    targets = [Path(target) for target in (os.environ.get("CARGO_TARGET_DIR"),) if target]
    for folder in Path(__file__).resolve().parents:
        if (folder / "Cargo.toml").is_file():
            targets.append(folder / "target")
    return [target / profile / NAME for target in targets for profile in ("release", "debug")]


def call(
    arguments: Sequence[str | os.PathLike[str]],
    *,
    program: str | os.PathLike[str] | None = None,
    accept: tuple[int, ...] = (0,),
) -> subprocess.CompletedProcess[str]:
    """Runs the program to its end; raises ShoalSimError unless it ends with an accepted code."""
    command = [find_program(program), *map(os.fspath, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    except OSError as error:
        raise ShoalSimError(f"{command[0]}: {error}") from error
    if done.returncode not in accept:
        message = done.stderr.strip() or f"{NAME} ended with code {done.returncode} and said nothing"
        raise ShoalSimError(message.removeprefix("error: "), done.returncode)
    return done
