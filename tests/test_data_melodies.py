"""Melodies as data: folders of them, what is left out and told, and music21's folk tunes."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from lowerbound.data import Dataset, load, melodies, read, split
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.music import VOCABULARY
from lowerbound.music.midi import midi_bytes


def tune(seed, bars=6, metre="4/4"):
    """A MIDI file of eighths, at random."""
    length = 2 * (8 if metre == "4/4" else 6) * bars
    tokens = np.zeros((1, length), np.uint8)
    tokens[0, ::2] = np.random.default_rng(seed).integers(30, 60, length // 2)
    return midi_bytes(tokens, metre=metre)


@pytest.fixture
def folder(tmp_path):
    """Ten tunes in 4/4, two in 3/4, and what cannot be used."""
    for i in range(10):
        (tmp_path / "fours" / f"{i}.mid").parent.mkdir(exist_ok=True)
        (tmp_path / "fours" / f"{i}.mid").write_bytes(tune(i))
    for i in range(2):
        (tmp_path / f"waltz {i}.MIDI").write_bytes(tune(20 + i, metre="3/4"))
    (tmp_path / "empty.mid").touch()
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_a_folder_is_read_as_windows_that_are_held_out_tune_by_tune(folder, caplog):
    caplog.set_level(logging.INFO, "lowerbound")
    splits = load(folder, validation=0.2, transpose=0)
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [35, 10, 5]
    assert (splits.train.shape, splits.train.kind) == ((32,), "tokens")
    assert splits.train.schema[0].categories == VOCABULARY
    groups = [set(part.groups) for part in (splits.train, splits.validation, splits.test)]
    assert sorted(group for found in groups for group in found) == list(range(10))
    told = caplog.text
    assert "50 windows of 2 bars in 4/4, of 10 melodies" in told
    assert "1 empty ('empty.mid'); melodies of other metres: 2 in 3/4" in told


def test_the_training_part_alone_is_moved_to_other_keys(folder):
    plain, moved = load(folder, validation=5, transpose=0), load(folder, validation=5, transpose=2)
    assert len(moved.train) == 5 * len(plain.train) == len(moved.train.groups)
    assert moved.test.fingerprint == plain.test.fingerprint
    assert moved.validation.fingerprint == plain.validation.fingerprint
    first = moved.train.x.reshape(5, len(plain.train), 32).int()
    assert (first[0] == plain.train.x).all()
    shift = (first - first[0]) * (first[0] > 1)
    assert [shift[i].unique().tolist() for i in range(1, 5)] == [[0, 1], [-1, 0], [0, 2], [-2, 0]]
    assert (moved.train.groups[: len(plain.train)] == plain.train.groups).all()


def test_other_metres_and_lengths_have_windows_of_their_own(folder):
    waltzes = read(folder, metre="3/4", bars=4)
    assert (len(waltzes), waltzes.shape) == (6, (48,))
    assert read(folder / "fours" / "3.mid", bars=6).shape == (96,)


def test_folders_called_train_and_test_are_the_parts(tmp_path):
    for i, part in enumerate(["train", "train", "test"]):
        (tmp_path / part).mkdir(exist_ok=True)
        (tmp_path / part / f"{i}.mid").write_bytes(tune(i))
    splits = load(tmp_path, transpose=0)
    assert (len(splits.train), len(splits.test)) == (10, 5)


def test_melodies_of_both_parts_and_beside_them_are_told(tmp_path, caplog):
    for name, seed in (("train/a", 0), ("train/b", 1), ("test/a", 0), ("test/c", 2), ("c", 3)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.mid").write_bytes(tune(seed))
    splits = load(tmp_path, transpose=0)
    assert set(splits.train.groups) & set(splits.test.groups) == {0}
    assert "5 of 10 windows for test are of melodies that the training part has" in caplog.text
    assert "left out 1 file that lies beside its parts" in caplog.text


def test_a_folder_of_melodies_and_images_is_refused(folder):
    (folder / "fours" / "cover.PNG").touch()
    with pytest.raises(DataError, match=r"got 1 images \(cover.PNG, …\) and 13 files of melodies"):
        read(folder)


def test_a_large_group_is_held_out_only_where_there_is_no_other():
    whole = Dataset(torch.arange(100.0)[:, None], groups=np.repeat([0, 1, 2, 3], [90, 3, 3, 4]))
    for seed in range(4):
        assert len(split(whole, test=20, seed=seed).test) == 10
        assert 5 <= len(split(whole, test=5, seed=seed).test) <= 7
    with pytest.raises(DataError, match=r"one group for each of 3 examples, got groups of .*4"):
        Dataset(torch.zeros(3, 1), groups=np.arange(4))


def test_what_cannot_be_used_is_refused_with_what_was_found(folder):
    with pytest.raises(DataError, match=r"windows of 2 bars in 6/8.*got none.*1 empty.*10 in 4/4"):
        read(folder, metre="6/8")
    with pytest.raises(DataError, match="12 without notes in a track called 'Flute'"):
        read(folder, track="Flute")
    with pytest.raises(DataError, match=r"expected two melodies or more.*got 1; add others"):
        load(folder / "fours" / "0.mid")
    with pytest.raises(DataError, match=r"got none .*melodies too short for 8 bars: 10"):
        read(folder, bars=8)
    (folder / "none").mkdir()
    with pytest.raises(DataError, match=r"expected images .* or melodies .*, got none"):
        read(folder / "none")
    with pytest.raises(ConfigurationError, match="metre= 4/4, 3/4, 6/8, got '7/8'"):
        read(folder, metre="7/8")
    with pytest.raises(ConfigurationError, match="bars from 1 to 64, got 0"):
        read(folder, bars=0)
    with pytest.raises(ConfigurationError, match=r"expected no resize= with a folder of melodies"):
        read(folder, resize=8)
    with pytest.raises(ConfigurationError, match="expected no track= with a known data set"):
        load("folk-tunes", track="Melody")


def test_groups_are_held_out_whole_and_the_same_for_the_same_seed():
    rng = np.random.default_rng(0)
    numbers = torch.arange(200, dtype=torch.uint8)
    whole = Dataset(numbers[:, None], groups=rng.integers(0, 30, 200))
    first, again = split(whole, test=0.2, seed=1), split(whole, test=0.2, seed=1)
    assert not set(first.train.groups) & set(first.test.groups)
    assert 40 <= len(first.test) <= 60
    assert first.test.fingerprint == again.test.fingerprint
    assert first.test.fingerprint != split(whole, test=0.2, seed=2).test.fingerprint
    assert (whole.groups[first.test.x[:, 0].numpy()] == first.test.groups).all()


def test_folk_tunes_are_read_once_and_families_are_on_one_side(tmp_path, monkeypatch):
    corpus = tmp_path / "corpus" / "ryansMammoth"
    corpus.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(12):
        notes = ["ABcdefga"[k] + "2" for k in rng.integers(0, 8, 32)]
        notes[3::4] = [note + "|" for note in notes[3::4]]
        for name, head in (("a", "M:4/4\nL:1/8"), ("b", "M:2/4\nL:1/16"))[: 1 + (i < 4)]:
            tune = f"X:1\n{head}\nK:D\n{''.join(notes)}\n"
            (corpus / f"{i}{name}.abc").write_text(tune)
    (corpus / "x.abc").write_text("X:1\nK:")
    monkeypatch.setattr(melodies, "corpus_folder", lambda: corpus.parent)
    monkeypatch.setenv("LOWERBOUND_CACHE", str(tmp_path / "cache"))
    first = load("folk-tunes", transpose=0)
    assert not set(first.train.groups) & set(first.test.groups)
    assert len(set(first.train.groups) | set(first.test.groups)) == 12

    (kept,) = (tmp_path / "cache" / "folk-tunes").iterdir()
    monkeypatch.setattr(melodies, "read_files", None)
    assert load("folk-tunes", transpose=0).train.fingerprint == first.train.fingerprint
    monkeypatch.undo()
    monkeypatch.setattr(melodies, "corpus_folder", lambda: corpus.parent)
    monkeypatch.setenv("LOWERBOUND_CACHE", str(tmp_path / "cache"))
    content = bytearray(kept.read_bytes())
    content[8] = 99  # a method of compression that there is none of
    content[content.index(b"PK\x01\x02") + 10] = 99
    for damaged in (content[:-50], content):
        kept.write_bytes(damaged)
        assert load("folk-tunes", transpose=0).train.fingerprint == first.train.fingerprint
    kept.unlink()
    monkeypatch.setattr(melodies, "corpus_folder", lambda: tmp_path / "none")
    with pytest.raises(DataError, match=r"folk-tunes: expected melodies in .*got none"):
        load("folk-tunes")
