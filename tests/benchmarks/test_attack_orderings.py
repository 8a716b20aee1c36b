"""The table of an evaluation's attacks: who is compared with whom, over which images."""

import math

import pytest

from benchmarks.attack_orderings import main, successes

ROWS = """index,attack,attacked,size/l2,is/score_adversarial
0,cw,1,1.0,0.5
1,cw,1,2.0,0.7
2,cw,0,99,99
3,cw,1,4.0,nan
0,cw_s1,1,1.5,0.6
1,cw_s1,0,99,99
2,cw_s1,1,5.0,0.9
3,cw_s1,1,5.5,0.8
"""


@pytest.fixture
def results(tmp_path):
    (tmp_path / "images.csv").write_text(ROWS)
    return tmp_path


def test_differences_are_over_the_images_that_both_succeeded_on(results, capsys):
    main([str(results), "--order", "cw_s1", "cw", "--against", "cw_s1:cw"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| attack | size/l2 | is/score_adversarial |"
    mean, half = 7 / 3, 1.959963984540054 * math.sqrt(7 / 3) / math.sqrt(3)
    assert lines[2] == (f"| cw | {mean:.3f} [{mean - half:.3f}, {mean + half:.3f}] (3) | 0.600 [0.404, 0.796] (2) |")
    # Images 0 and 3: 0.5 and 1.5; for the score image 0 alone, which has no interval.
    half = 1.959963984540054 * math.sqrt(0.5) / math.sqrt(2)
    assert lines[7] == f"| cw_s1 - cw | +1.000 [{1 - half:+.3f}, {1 + half:+.3f}] (2) | +0.100 [+nan, +nan] (1) |"
    assert lines[8].startswith("| cw - cw_s1 | -1.000 ")


def test_failures_are_known_as_attacks_without_images(results):
    found = successes(results / "images.csv")
    assert {name: sorted(images) for name, images in found.items()} == {"cw": ["0", "1", "3"], "cw_s1": ["0", "2", "3"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--order", "str", "cw"], "no attack str in"),
        (["--order", "cw", "cw_s1", "--quantities", "size/l3"], "no column size/l3 in"),
    ],
)
def test_bad_requests_are_named(arguments, message, results, capsys):
    with pytest.raises(SystemExit):
        main([str(results), *arguments])
    assert message in capsys.readouterr().err


def test_a_folder_without_results_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path / "none")])
    assert "images.csv does not exist" in capsys.readouterr().err
