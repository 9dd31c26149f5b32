"""Reading the program's tables."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from ._program import ShoalSimError

_ESCAPE = re.compile("%([0-9a-f]{2})")
_DTYPES = {
    "f64": "float64",
    "f64?": "float64",
    "u64": "uint64",
    "i64": "int64",
    "string": "str",
    "bool": "bool",
}


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Reads a table of the program, .csv or .parquet, with its metadata in ``DataFrame.attrs``.

    Without an extension the Parquet file is taken if pyarrow is installed, else the CSV file.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        return _read_parquet(path)
    if path.suffix == ".csv":
        return _read_csv(path)
    parquet, csv = path.with_name(path.name + ".parquet"), path.with_name(path.name + ".csv")
    if parquet.is_file() and _has_pyarrow():
        return _read_parquet(parquet)
    if csv.is_file():
        return _read_csv(csv)
    beside = path.parent.glob("*.csv") if path.parent.is_dir() else ()
    names = ", ".join(sorted(found.stem for found in beside))
    raise ShoalSimError(f"there is no table {path.name!r} in {path.parent}; there are: {names}")


def _has_pyarrow() -> bool:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        return False
    return True


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    frame = table.to_pandas()
    metadata = table.schema.metadata or {}
    for key, value in metadata.items():
        if key not in (b"ARROW:schema", b"pandas"):
            frame.attrs[key.decode()] = value.decode()
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8", newline="") as file:
        first = file.readline()
    if not first.startswith("#"):
        return pd.read_csv(path)
    attrs = {}
    for pair in first.removeprefix("#").rstrip("\r\n").split(";"):
        key, _, value = pair.removeprefix(" ").partition("=")
        attrs[_unescaped(key)] = _unescaped(value)
    types = attrs.pop("types", "").split()
    columns = pd.read_csv(path, skiprows=1, nrows=0).columns
    dtypes = {name: _DTYPES[kind] for name, kind in zip(columns, types) if kind in _DTYPES}
    texts = [name for name, kind in zip(columns, types) if kind == "string"]
    frame = pd.read_csv(
        path,
        skiprows=1,
        dtype=dtypes,
        keep_default_na=False,
        na_values={name: [""] for name in columns if name not in texts},
    )
    frame.attrs.update(attrs)
    return frame


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda digits: chr(int(digits[1], 16)), text)
