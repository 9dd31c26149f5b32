"""The package with the real program, if it was built."""

import os
import tempfile
import unittest
from pathlib import Path

import pandas as pd

import shoal_sim

try:
    PROGRAM = shoal_sim.find_program()
except shoal_sim.ShoalSimError:
    if "SHOAL_SIM" in os.environ:
        raise
    PROGRAM = None


@unittest.skipIf(PROGRAM is None, "shoal-sim was not built")
class RealProgram(unittest.TestCase):
    def scenario(self):
        scenario = shoal_sim.preset("single-mix", program=PROGRAM)
        scenario["run"] |= {"repetitions": 3, "measure": "60s"}
        scenario["targets"]["count"] = 20
        return scenario

    def test_presets_are_listed(self):
        self.assertIn("single-mix", shoal_sim.presets(program=PROGRAM))

    def test_a_scenario_is_run(self):
        with tempfile.TemporaryDirectory() as out:
            runs = shoal_sim.run(self.scenario(), seed=7, threads=1, out=out, program=PROGRAM)
            self.assertEqual(list(runs["repetition"]), [0, 1, 2])
            self.assertEqual(runs.attrs["seed"], "7")
            self.assertEqual(len(runs.attrs["scenario_hash"]), 64)
            for table in ("targets", "bins", "latency"):
                csv = shoal_sim.read_table(Path(out) / f"{table}.csv")
                self.assertGreater(len(csv), 0)
                self.compare(csv, Path(out) / f"{table}.parquet")

    def compare(self, csv, parquet):
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            return
        other = shoal_sim.read_table(parquet)
        pd.testing.assert_frame_equal(csv, other, check_dtype=False, rtol=0, atol=0)
        self.assertEqual(csv.attrs, other.attrs)

    def test_the_seed_decides(self):
        first, again, other = (
            shoal_sim.run(self.scenario(), seed=seed, table="summary", program=PROGRAM)
            for seed in (7, 7, 8)
        )
        pd.testing.assert_frame_equal(first, again)
        self.assertFalse(first["mean"].equals(other["mean"]))

    def test_a_sweep_is_run(self):
        axis = {"key": "delay.mixes.mean", "values": ["200ms", "1s"]}
        definition = {"sweep": {"repetitions": 2}, "axes": [axis], "scenario": self.scenario()}
        results = shoal_sim.sweep(definition, seed=7, threads=1, program=PROGRAM)
        self.assertEqual(list(results["delay.mixes.mean"]), [0.2, 1.0])
        entropy = results["entropy_forward_messages.global"]
        self.assertLess(entropy[0], entropy[1])
        self.assertEqual(results.attrs["seed"], "7")

    def test_a_wrong_key_is_named(self):
        scenario = self.scenario()
        scenario["run"]["repetitons"] = 3
        with self.assertRaisesRegex(shoal_sim.ShoalSimError, "repetitons") as raised:
            shoal_sim.run(scenario, program=PROGRAM)
        self.assertEqual(raised.exception.exit_code, 2)


if __name__ == "__main__":
    unittest.main()
