"""Tests of the page's plots of p-values and of masked units."""

from pathlib import Path
from types import ModuleType

import pytest

from advscope.report.masking_figure import ORDERS
from advscope.report.page.masking_plots import masking_of, masking_plots
from advscope.report.page.significance_plots import shown_tops, significance_of, significance_plots
from advscope.report.page.tables import significance_table
from advscope.report.run_results import RunResults, read_all
from advscope.report.significance_figure import TESTS


@pytest.fixture
def read(runs: tuple[Path, Path], dissected: ModuleType) -> list[RunResults]:
    results = runs[1] / "results" / "standard"
    rows = dissected.make_significance(0, ("stem <b>", "conv2"))
    dissected.write_csv(results / "significance.csv", rows)
    dissected.write_csv(results / "masking.csv", dissected.make_masking(("stem <b>", "conv2")))
    return read_all(runs, "standard")


def test_a_run_without_p_values_is_none(read: list[RunResults]) -> None:
    tables = significance_of(read)
    assert tables[0] is None
    assert shown_tops(tables) == [10, 20, 30]
    assert shown_tops([None]) == []


def test_numbers_without_a_p_are_not_offered(read: list[RunResults], dissected: ModuleType) -> None:
    results = read[1].results
    rows = dissected.make_significance(0, ("stem <b>", "conv2"))
    nothing = {
        "p": "",
        "p_approximate": "",
        "method": "",
        "p_corrected": "",
        "p_matched": "",
        "p_matched_corrected": "",
    }
    dissected.write_csv(results / "significance.csv", [row | (nothing if row["top"] == 30 else {}) for row in rows])
    assert shown_tops(significance_of(read)) == [10, 20]
    dissected.write_csv(results / "significance.csv", [row | nothing for row in rows])
    assert significance_of(read) == [None, None]


def test_each_plot_holds_its_p_values_and_hollow_marks(read: list[RunResults], dissected: ModuleType) -> None:
    plots = significance_plots(read, significance_of(read))
    assert list(plots) == [f"{test} {regular} {top}" for test in TESTS for regular in (0, 1) for top in (10, 20, 30)]
    rows = dissected.make_significance(0, ("stem <b>", "conv2"))
    for key, plot in plots.items():
        test, regular, top = key.split()
        (trace,) = plot["data"]
        assert trace["meta"] == {"run": 1}
        assert trace["x"] == ["stem &lt;b&gt;", "conv2"]
        here = [row for row in rows if (row["regular"], row["top"]) == (int(regular), int(top))]
        for row, value, symbol, (said,) in zip(
            here, trace["y"], trace["marker"]["symbol"], trace["customdata"], strict=True
        ):
            if row[test] == "":
                assert value is None
                continue
            assert value == pytest.approx(row[test], rel=1e-5)
            assert symbol.endswith("-open") == (row[TESTS[test]] >= 0.05)
            assert f"{row['top']} of 64 units, n = 180 images" in said
        assert plot["layout"]["yaxis"]["type"] == "log"
        assert plot["layout"]["shapes"][0]["y0"] == 0.05


def test_the_table_holds_the_p_values_of_all_units(read: list[RunResults], dissected: ModuleType) -> None:
    text = significance_table(read, significance_of(read))
    assert "stem &lt;b&gt;" in text
    assert "<b>stem" not in text
    assert text.count("<tr>") == 1 + 2
    assert text.count("corrected") == 2 * 3 * 2


def test_masked_units_are_lines_with_intervals(read: list[RunResults], dissected: ModuleType) -> None:
    plots = masking_plots(read, masking_of(read))
    assert [(plot["layer"], plot["attack"]) for plot in plots] == [("stem <b>", "pgd20"), ("conv2", "pgd20")]
    rows = dissected.make_masking(("conv2",))
    for kind in ("clean", "robust"):
        for trace, order in zip(plots[1][kind]["data"], ORDERS, strict=True):
            here = [row for row in rows if row["order"] == order]
            assert trace["name"] == f"demo-madry, {order}"
            assert trace["x"] == [row["masked"] for row in here]
            assert trace["y"] == pytest.approx([row[f"{kind}_accuracy"] for row in here], abs=1e-6)
            ends = zip(trace["y"], trace["error_y"]["array"], trace["error_y"]["arrayminus"], strict=True)
            for (value, above, below), row in zip(ends, here, strict=True):
                assert (value - below, value + above) == pytest.approx(
                    (row[f"{kind}_low"], row[f"{kind}_high"]), abs=1e-5
                )
            assert "n = 200" in trace["customdata"][0][0]
    assert masking_plots(read[:1], masking_of(read[:1])) == []
