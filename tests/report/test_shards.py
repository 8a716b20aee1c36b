"""What an evaluation has finished so far, on disk."""

import pytest
import torch

from advscope.report import Shards
from advscope.report.shards import ASIDE

IDENTITY = {"weights": "a", "settings": "b"}


@pytest.fixture
def shards(tmp_path):
    """Return the shards of an evaluation with three finished batches."""
    shards = Shards(tmp_path)
    shards.claim(IDENTITY)
    for number in range(3):
        shards.write(number, {"value": torch.tensor([number / 3], dtype=torch.float64), "names": ["a", {"b": number}]})
    return shards


def test_what_is_written_is_read_to_the_last_bit(shards):
    assert [content["value"].item() for content in shards.contents()] == [0, 1 / 3, 2 / 3]
    assert shards.read(2)["names"] == ["a", {"b": 2}]


def test_an_evaluation_goes_on_with_its_own_shards(shards, tmp_path):
    again = Shards(tmp_path)
    assert again.claim(dict(IDENTITY)) == []
    assert again.count() == 3


def test_shards_of_another_evaluation_are_set_aside(shards, tmp_path):
    again = Shards(tmp_path)
    assert again.claim({"weights": "other", "settings": "b"}) == ["weights"]
    assert again.count() == 0
    assert len(list((tmp_path / ASIDE).rglob("*.pt"))) == 3
    # And once more: what was set aside before gives way.
    again.write(0, {})
    assert Shards(tmp_path).claim({"weights": "third", "settings": "c"}) == ["settings", "weights"]
    assert len(list((tmp_path / ASIDE).rglob("*.pt"))) == 1


def test_a_folder_that_was_claimed_and_never_used_is_taken_over_silently(tmp_path):
    Shards(tmp_path).claim(IDENTITY)
    assert Shards(tmp_path).claim({"weights": "other"}) == []
    assert not (tmp_path / ASIDE).exists()


def test_a_file_that_was_being_written_is_no_shard(shards, tmp_path):
    (shards.own / ".000003.pt.123.partial").write_bytes(b"half")
    assert shards.count() == 3


def test_a_gap_ends_what_is_done(shards):
    (shards.own / "000001.pt").unlink()
    assert shards.count() == 1
    with pytest.raises(FileNotFoundError):
        shards.read(1)


def test_processes_have_shards_of_their_own(tmp_path):
    one, other = Shards(tmp_path, 0, 2), Shards(tmp_path, 1, 2)
    one.claim(IDENTITY)
    one.write(0, {})
    assert (one.count(), other.count(), Shards(tmp_path, 0, 1).count()) == (1, 0, 0)
    other.write(0, {})
    one.clear()
    assert other.count() == 1
    other.clear()
    assert not (tmp_path / "shards").exists()


def test_later_shards_are_set_aside(shards, tmp_path):
    assert shards.set_aside_from(1) == 2
    assert shards.count() == 1
    assert {path.name for path in (tmp_path / ASIDE).rglob("*.pt")} == {"000001.pt", "000002.pt"}
    assert shards.set_aside_from(1) == 0


def test_parts_go_with_the_shards_and_are_no_batches(shards, tmp_path):
    shards.write_part("b", {"value": torch.tensor([1 / 3], dtype=torch.float64)})
    shards.write_part("a", {"value": torch.tensor([2.0])})
    shards.write_part("a", {"value": torch.tensor([4.0])})
    assert [part["value"].item() for part in Shards(tmp_path).parts()] == [4, 1 / 3]
    assert shards.count() == 3
    assert list(Shards(tmp_path, 1, 2).parts()) == []
    assert shards.set_aside_from(1) == 2
    assert len(list(shards.parts())) == 2
    Shards(tmp_path).claim({"weights": "other"})
    assert list(shards.parts()) == []
    shards.write_part("c", {})
    shards.clear()
    assert not (tmp_path / "shards").exists()
