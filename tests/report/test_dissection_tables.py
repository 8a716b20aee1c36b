"""Tests of the readers of significance.csv and masking.csv."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from advscope.report.dissection_tables import read_masking, read_significance


def test_p_values_come_back(dissected: ModuleType, tmp_path: Path) -> None:
    rows = dissected.make_significance(0)
    table = read_significance(dissected.write_csv(tmp_path / "significance.csv", rows))
    for name, column in table.items():
        given = [np.nan if row[name] == "" else row[name] for row in rows]
        np.testing.assert_array_equal(column, np.array(given, dtype=column.dtype))
    assert table["top"].dtype == table["regular"].dtype == np.int64
    assert np.isnan(table["p_matched"]).sum() == len(dissected.TOPS)


def test_masked_accuracies_come_back(dissected: ModuleType, tmp_path: Path) -> None:
    rows = dissected.make_masking()
    table = read_masking(dissected.write_csv(tmp_path / "masking.csv", rows))
    for name, column in table.items():
        np.testing.assert_array_equal(column, np.array([row[name] for row in rows], dtype=column.dtype))


def test_errors_name_file_column_and_remedy(dissected: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.csv does not exist; make it anew with .*DissectionMonitor"):
        read_significance(tmp_path / "none.csv")
    rows = dissected.make_significance(0)
    rows[3]["top"] = "many"
    with pytest.raises(ValueError, match=r"bad\.csv, column top: .*'many'; make it anew"):
        read_significance(dissected.write_csv(tmp_path / "bad.csv", rows))
    with pytest.raises(ValueError, match=r"bad\.csv has no column order, masked, .*UnitMaskingMonitor"):
        read_masking(tmp_path / "bad.csv")
