"""The paper's tables from an evaluation's results."""

import csv
import io
import math

import numpy as np
import pytest

from advscope.intervals import Estimate
from advscope.report.paper_tables import paper_tables, to_csv, to_markdown, write_paper_tables
from advscope.report.published_figures import CORRELATIONS, METHODS, SCORES, SIZES
from advscope.report.run_results import RunResults

CW = {"class_path": "advscope.attacks.CarliniWagner", "init_args": {"steps": 5}}
EAD = {"class_path": "advscope.attacks.ElasticNet", "init_args": {"steps": 5}}
S1 = {"class_path": "advscope.measures.SignificantCells", "init_args": {"cell_size": 4}}
PGD = {"class_path": "advscope.attacks.PGD", "init_args": {}}


def refined(attack, region=S1):
    return {"class_path": "advscope.attacks.Refined", "init_args": {"attack": attack, "region": region}}


def size_rows(index, attacked, l0):
    rows = {"index": np.array(index), "attacked": np.array(attacked), "size/l0": np.array(l0, dtype=float)}
    return rows | {f"size/{name}": rows["size/l0"] / 10 for name in ("l1", "l2", "linf")}


def results(attacks, figures, rows=None, folder=None):
    summary = {
        "name": "table",
        "settings": {"model": {"init_args": {"attacks": attacks}}},
        "data": {"n": 3},
    }
    return RunResults(folder, "run", summary, figures, rows or {}, [])


def estimates(*keys):
    return {key: Estimate(0.1 * place, 0.0, 1.0, 3) for place, key in enumerate(keys, start=1)}


def test_table_1_has_correlations_beside_the_published_ones():
    keys = [
        f"test/{attack}/psr/{name}_{effect}_l2"
        for attack in ("b", "a", "pgd")
        for name in ("pearson", "kendall")
        for effect in ("suppression", "promotion", "score")
    ]
    (table,) = paper_tables(results({"b": EAD, "a": CW, "pgd": PGD}, estimates(*keys)))
    # In the paper's order, and without what is not in the paper.
    assert [(row.method, row.quantity) for row in table.rows] == [
        (method, quantity) for method in ("C&W", "EAD") for quantity in ("d0", "dt", "s")
    ]
    assert [row.attack for row in table.rows] == ["a"] * 3 + ["b"] * 3
    last = table.rows[-1]
    assert last.figure.value == pytest.approx(0.3)  # pearson_score of b
    assert last.beside[0].value == pytest.approx(0.6)  # kendall_score of b
    assert last.published == CORRELATIONS["EAD"]["score"] == (0.710, 0.697)


def test_table_2_has_chance_beside_the_score():
    keys = [f"test/cw/is/{name}_{pair}" for pair in ("clean", "adversarial") for name in ("score", "chance", "excess")]
    (table,) = paper_tables(results({"cw": CW}, estimates(*keys)))
    assert [row.quantity for row in table.rows] == ["IS (x0, t0)", "IS (x', t)"]
    assert [each.value for each in table.rows[1].beside] == pytest.approx([0.5, 0.6])
    assert table.rows[1].published == (0.823, 0.784)
    assert table.beside == ("chance", "excess over chance")
    lines = to_markdown(table, "run").splitlines()
    assert "0.200 [0.000, 1.000]" in lines[4]
    assert lines[5].endswith("| 0.823 | 0.784 |")


def test_table_a1_pairs_each_refined_attack_with_its_original():
    attacks = {"cw": CW, "other": CW | {"init_args": {"steps": 6}}, "cw_s1": refined(CW), "ead_s1": refined(EAD)}
    keys = [f"test/{attack}/size/{name}" for attack in attacks for name in ("l0", "l1", "l2", "linf", "success_rate")]
    rows = {
        "cw": size_rows([3, 5, 8, 9], [True, True, True, False], [10, 20, 0, 7]),
        "cw_s1": size_rows([3, 5, 8, 9], [True, True, True, True], [5, 5, 1, 7]),
    }
    (table,) = paper_tables(results(attacks, estimates(*keys), rows))
    # An attack whose original did not run has no pair.
    assert {row.attack for row in table.rows} == {"cw", "cw_s1"}
    found = {(row.attack, row.quantity): row for row in table.rows}
    assert len(found) == len(table.rows) == 10
    ratio = found["cw_s1", "l0, refined under S1"].beside[0]
    # 5 / 10 and 5 / 20; an original of size 0 has no ratio; image 9 counts for neither.
    assert (ratio.value, ratio.n, ratio.undefined) == (pytest.approx(0.375), 2, 1)
    assert found["cw_s1", "l0, refined under S1"].published == (21103, 22495)
    assert found["cw", "l0, original"].published == (268117, 268123)
    assert found["cw", "l0, original"].beside[0].n == 0


def test_the_paper_has_no_figures_under_s2():
    s2 = {"class_path": "advscope.measures.SalientPixels", "init_args": {}}
    attacks = {"cw": CW, "cw_s1": refined(CW), "cw_s2": refined(CW, s2)}
    keys = [f"test/{attack}/size/l0" for attack in attacks]
    (table,) = paper_tables(results(attacks, estimates(*keys)))
    assert [(row.attack, row.published) for row in table.rows] == [
        ("cw", (268117, 268123)),
        ("cw_s1", (21103, 22495)),
        ("cw_s2", (None, None)),
    ]
    assert "S2 | 0.300 | [0.000, 1.000] | 3 |  |  |  |" in to_markdown(table, "run")


def test_other_attacks_make_no_tables(tmp_path):
    keys = [f"test/pgd/is/{name}_{pair}" for pair in ("clean", "adversarial") for name in ("score", "chance", "excess")]
    assert paper_tables(results({"pgd": PGD}, estimates(*keys))) == []
    assert paper_tables(results({}, {})) == []


def test_csv_leaves_undefined_fields_empty():
    figures = {
        f"test/cw/psr/{name}_{effect}_l2": Estimate(math.nan, math.nan, math.nan, 0, 3)
        for name in ("pearson", "kendall")
        for effect in ("suppression", "promotion", "score")
    }
    (table,) = paper_tables(results({"cw": CW}, figures))
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [(row["value"], row["low"], row["n"], row["undefined"]) for row in rows] == [("", "", "0", "3")] * 3
    assert rows[0]["published ResNet_v2_101"] == "0.507"
    assert "\N{EN DASH} | [\N{EN DASH}, \N{EN DASH}] | 0 (3 undefined)" in to_markdown(table, "run")


def test_files_of_an_evaluation_that_had_others_are_removed(tmp_path):
    folder = tmp_path / "results" / "table"
    folder.mkdir(parents=True)
    (folder / "tableA1.md").write_text("old")
    keys = [f"test/cw/is/{name}_{pair}" for pair in ("clean", "adversarial") for name in ("score", "chance", "excess")]
    written = write_paper_tables(results({"cw": CW}, estimates(*keys), folder=tmp_path))
    assert [path.name for path in written] == ["table2.md"]
    assert {path.name for path in folder.iterdir()} == {"table2.md", "table2.csv"}


def test_published_orderings_are_those_of_the_paper():
    """The four orderings that the paper states of its own figures, for both networks."""
    for network in (0, 1):
        scores = [SCORES[method]["adversarial"][network] for method in METHODS]
        assert scores == sorted(scores)
        effects = [CORRELATIONS[method]["score"][network] for method in METHODS]
        assert effects == sorted(effects)
        for original, after in SIZES.values():
            assert after.l0[network] < original.l0[network]
            assert after.success_rate[network] > 0.96
