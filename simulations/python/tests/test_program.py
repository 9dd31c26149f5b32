"""How the package calls the program: with a stand-in that says what it was called with."""

import json
import os
import stat
import tempfile
import tomllib
import unittest
from pathlib import Path

import shoal_sim
from shoal_sim._toml import to_toml

STAND_IN = """#!/usr/bin/env python3
import json, pathlib, sys
arguments = sys.argv[1:]
if "refuse.toml" in arguments:
    sys.exit("error: run.seed = -1: must be 0 or more")
if arguments[0] == "run":
    out = pathlib.Path(arguments[arguments.index("--out") + 1])
    out.mkdir(exist_ok=True)
    (out / "runs.csv").write_text(
        "# table=runs; types=u64 f64? string bool; seed=7; note=a%3bb%25\\n"
        "repetition,x,who,alarm\\n0,,NA,true\\n1,0.5,,false\\n"
    )
    scenario = json.loads(pathlib.Path(arguments[1]).read_text())
    (out / "called.json").write_text(json.dumps([arguments, scenario]))
    print(json.dumps({"meta": {"seed": 7}, "metrics": [{"name": "x", "mean": 0.5}]}))
if arguments[0] == "reproduce":
    print(json.dumps({"name": arguments[1], "points": [{"name": "a", "ours": 1.0}]}))
    sys.exit(3)
"""


class StandIn(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.program = self.folder / "stand-in"
        self.program.write_text(STAND_IN)
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)

    def test_options_become_arguments(self):
        out = self.folder / "out"
        scenario = {"run": {"seed": 1, "measure": "10s"}}
        shoal_sim.run(scenario, seed=7, threads=2, out=out, program=self.program)
        arguments, given = json.loads((out / "called.json").read_text())
        self.assertEqual(given, scenario)
        self.assertEqual(arguments[2:], ["--out", str(out), "--json", "--seed", "7", "--threads", "2"])
        self.assertFalse(Path(arguments[1]).exists(), "the temporary scenario is removed")

    def test_tables_keep_types_and_metadata(self):
        runs = shoal_sim.run({}, program=self.program)
        self.assertEqual(runs.attrs["seed"], "7")
        self.assertEqual(runs.attrs["note"], "a;b%")
        self.assertEqual(runs["repetition"].dtype, "uint64")
        self.assertTrue(runs["x"].isna()[0])
        self.assertEqual(list(runs["who"]), ["NA", ""], "text is text")
        self.assertEqual(list(runs["alarm"]), [True, False])

    def test_the_summary_is_a_table_too(self):
        summary = shoal_sim.run({}, table="summary", program=self.program)
        self.assertEqual(list(summary["name"]), ["x"])
        self.assertEqual(summary.attrs["seed"], "7")

    def test_an_unknown_table_names_those_that_exist(self):
        with self.assertRaisesRegex(shoal_sim.ShoalSimError, "no table 'rums'.*runs"):
            shoal_sim.run({}, table="rums", program=self.program)

    def test_errors_are_the_program_s(self):
        with self.assertRaises(shoal_sim.ShoalSimError) as raised:
            shoal_sim.run("refuse.toml", program=self.program)
        self.assertEqual(str(raised.exception), "run.seed = -1: must be 0 or more")
        self.assertEqual(raised.exception.exit_code, 1)

    def test_toml_reads_back(self):
        document = {
            "sweep": {"seed": 2**60, "mode": "grid"},
            "axes": [{"key": "a.b", "values": [1, 2.5, 1e-7, 1e300, True]}, {"x": [[1.0], []]}],
            "set": {"odd \"key\"\n": "é\U0001f41f\x7f\\"},
            "empty": {},
        }
        self.assertEqual(tomllib.loads(to_toml(document)), document)
        with self.assertRaises(TypeError):
            to_toml({"a": None})

    def test_a_reproduction_that_does_not_hold_is_a_result(self):
        points = shoal_sim.reproduce("single-mix", program=self.program)
        self.assertFalse(points.attrs["holds"])
        self.assertEqual(points.attrs["name"], "single-mix")
        self.assertEqual(list(points["ours"]), [1.0])

    def test_the_program_is_found_by_the_environment(self):
        before = os.environ.get("SHOAL_SIM")
        os.environ["SHOAL_SIM"] = str(self.program)
        try:
            self.assertEqual(shoal_sim.find_program(), str(self.program))
            os.environ["SHOAL_SIM"] = str(self.folder / "absent")
            with self.assertRaisesRegex(shoal_sim.ShoalSimError, r"\$SHOAL_SIM is .*absent"):
                shoal_sim.find_program()
        finally:
            if before is None:
                del os.environ["SHOAL_SIM"]
            else:
                os.environ["SHOAL_SIM"] = before


if __name__ == "__main__":
    unittest.main()
