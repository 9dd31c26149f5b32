"""Runs shoal-sim, the simulator of mixnets, and reads its results into pandas.

    >>> import shoal_sim
    >>> runs = shoal_sim.run(shoal_sim.preset("single-mix"), seed=7)  # doctest: +SKIP

The program is found by the argument ``program``, then the variable ``SHOAL_SIM``, then ``PATH``,
then the ``target`` folder of the repository that holds this file.
"""

from ._program import ShoalSimError, find_program
from ._results import read_table
from ._simulate import advise, preset, presets, reproduce, run, sweep

__all__ = [
    "ShoalSimError",
    "advise",
    "find_program",
    "preset",
    "presets",
    "read_table",
    "reproduce",
    "run",
    "sweep",
]
__version__ = "0.1.0"
