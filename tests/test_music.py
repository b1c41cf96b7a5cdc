"""Melodies: reading MIDI, ABC and MusicXML into windows of tokens, tune by tune."""

from __future__ import annotations

import io
import struct
import wave
import zipfile

import numpy as np
import pytest

from lowerbound.errors import ConfigurationError
from lowerbound.music import VOCABULARY, midi_bytes, notes, sound, wave_bytes
from lowerbound.music.abc import read_tunes
from lowerbound.music.accuracy import accuracy, copied, markov, most_common
from lowerbound.music.attributes import (
    density,
    diatonic,
    direction,
    eighth_syncopation,
    interval,
    syncopation,
)
from lowerbound.music.kinship import families
from lowerbound.music.melody import OFF_GRID, OUT_OF_RANGE, Melody, extract
from lowerbound.music.musicxml import read_musicxml
from lowerbound.music.reading import files_in, read_files
from lowerbound.music.score import Metre, Unusable, read_midi
from lowerbound.music.tokens import sounding, transpose
from lowerbound.music.windows import windows

HOLD, OFF, C4, A4 = 0, 1, 60 - 21 + 2, 69 - 21 + 2


def varlen(number):
    """A number as MIDI writes it."""
    digits = [number & 127]
    while number := number >> 7:
        digits.append(number & 127 | 128)
    return bytes(reversed(digits))


def track(*events, name=b""):
    """An MTrk chunk of (time, bytes); times are from the beginning."""
    events = sorted([(0, b"\xff\x03" + varlen(len(name)) + name), *events], key=lambda e: e[0])
    body, now = b"", 0
    for time, event in [*events, (events[-1][0], b"\xff\x2f\x00")]:
        body, now = body + varlen(time - now) + event, time
    return b"MTrk" + struct.pack(">I", len(body)) + body


def note(start, end, pitch, channel=0):
    """A note's two events, of times in ticks."""
    return (start, bytes([0x90 | channel, pitch, 80])), (end, bytes([0x80 | channel, pitch, 0]))


def metre(time, beats, exponent):
    return time, bytes([0xFF, 0x58, 4, beats, exponent, 24, 8])


def midi(*tracks, kind=1, division=4):
    """A MIDI file; with four ticks to a quarter, a tick is a step of the grid."""
    return b"MThd" + struct.pack(">IHHH", 6, kind, len(tracks), division) + b"".join(tracks)


def scale(*pitches, length=2):
    """Notes one after the other, each so many steps long."""
    return [e for i, p in enumerate(pitches) for e in note(length * i, length * (i + 1), p)]


def line(tokens, *metres):
    return Melody(np.array(tokens, np.uint8), metres or (Metre(0, 4, 4),))


def test_a_midi_file_of_either_type_and_any_resolution_gives_its_notes():
    events = [*note(0, 3, 60), *note(3, 4, 62), *note(6, 8, 60)]
    tokens = [C4, HOLD, HOLD, C4 + 2, OFF, HOLD, C4, HOLD]
    for kind in (0, 1):
        assert extract(read_midi(midi(track(*events), kind=kind))).tokens.tolist() == tokens
    finer = [(120 * time, event) for time, event in events]
    assert extract(read_midi(midi(track(*finer), division=480))).tokens.tolist() == tokens
    assert VOCABULARY[tokens[0]] == "C4"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"RIFF" + bytes(20), "no MIDI"),
        (midi(track(*scale(60)), kind=2), "of type 2"),
        (midi(track(*scale(60)), division=0xE728), "timed in seconds"),
        (midi(track(*scale(60)))[:-9], "damaged"),
        (midi(track()), "without notes"),
        (midi(track(*note(0, 4, 38, channel=9))), "but perhaps percussion"),
        (midi(track(*note(0, 2**20, 60))), "longer than"),
        (midi(track(*scale(60))) + bytes(2**23), "more than 8 MiB"),
        (midi(track(metre(0, 0, 2), *scale(60))), "a metre that cannot be, 0/4"),
    ],
)
def test_a_midi_file_that_cannot_be_used_is_told_in_a_few_words(content, reason):
    with pytest.raises(Unusable, match=reason):
        read_midi(content)


def test_the_melody_is_the_top_line_of_the_highest_full_track_or_of_the_one_named():
    chords = [*note(0, 8, 48), *note(0, 4, 52), *note(4, 8, 50)]
    song = [*note(0, 4, 72), *note(1, 3, 60), *note(4, 8, 71)]  # and an accompanying note
    flute = note(2, 3, 96)  # higher, with less to play
    content = midi(track(*chords, name=b"Piano"), track(*song, name=b"Song "), track(*flute))
    score = read_midi(content)
    assert extract(score).tokens.tolist() == [C4 + 12, 0, 0, 0, C4 + 11, 0, 0, 0]
    assert extract(score).others == 5  # of seven notes
    assert extract(score, "piano").tokens.tolist() == [C4 - 8, 0, 0, 0, C4 - 10, 0, 0, 0]
    with pytest.raises(Unusable, match="without notes in a track called 'Bass'"):
        extract(score, "Bass")


def test_legato_is_no_polyphony_and_triplets_are_not_rounded_away():
    def played(*notes_):
        events = [event for each in notes_ for event in note(*each)]
        return extract(read_midi(midi(track(*events), division=48))).tokens.tolist()

    assert played((0, 13, 64), (12, 24, 62)) == [C4 + 4, C4 + 2]  # a twelfth too long
    assert played((1, 12, 64), (13, 24, 62)) == [C4 + 4, C4 + 2]  # late by as much
    triplet = played((0, 16, 60), (16, 32, 62), (32, 48, 64), (48, 60, 65))
    assert triplet == [C4, OFF_GRID, HOLD, OFF_GRID, C4 + 5]
    assert played((0, 6, 64), (6, 12, 62)).count(OFF_GRID)  # the second of two thirty-seconds
    assert played((0, 12, 12), (12, 24, 60))[0] == OUT_OF_RANGE


ABC = """X:1
T:Two bars and an upbeat
R:hornpipe
M:4/4
L:1/8
K:G
G|"Am"A>B ~c2 .d2 [Ace]2|!f!f4 z2 {g}g2|A6 (3Bcd|e6||
M:3/4
a2 f2 d2|d6|]
"""


def test_a_top_note_ends_where_it_ends_though_lower_ones_go_on():
    events = [*note(0, 1920, 48), *note(480, 960, 76)]
    tokens = extract(read_midi(midi(track(*events), division=480))).tokens
    assert tokens.tolist() == [C4 - 12, 0, 0, 0, C4 + 16, 0, 0, 0, OFF, *[HOLD] * 7]


def test_the_later_of_two_metres_at_one_time_counts():
    events = [metre(0, 4, 2), metre(0, 3, 2), metre(24, 6, 3), metre(24, 2, 2), *note(0, 40, 60)]
    score = read_midi(midi(track(*events)))
    assert [(each.start, each.name) for each in score.metres] == [(0, "3/4"), (24, "2/4")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_book_of_any_line_ends_gives_all_tunes_with_the_fields_of_its_header(end, tmp_path):
    header = "M:3/4\nL:1/16\n\n"
    book = f"{header}X:1\nK:C\nc4d4e4|f4g4a4|\n\nX:2\nL:1/8\nM:4/4\nK:C\nc2d2e2f2|\n"
    for name, text in (("book", book), ("bare", book.removeprefix(header))):
        content = b"\xef\xbb\xbf" + text.replace("\n", end).encode()
        (tmp_path / f"{name}.abc").write_bytes(content)
    first, second = read_files([tmp_path / "book.abc"]).found
    assert [each.name for each in first.metres] == ["3/4"]
    assert first.tokens.tolist() == [
        token for pitch in (12, 14, 16, 17, 19, 21) for token in (C4 + pitch, 0, 0, 0)
    ]
    assert [each.name for each in second.metres] == ["4/4"]
    assert len(second.tokens) == 16
    assert len(read_files([tmp_path / "bare.abc"]).found) == 2


def test_abc_is_read_from_its_bar_lines_on():
    (score,) = read_tunes([ABC])
    assert [(m.start, m.name) for m in score.metres] == [
        (0, "4/4"), (2, "4/4"), (62, "3/4"),
    ]  # fmt: skip
    melody = extract(score)
    begins = [69, 0, 0, 71, 72, 0, 0, 0, 74, 0, 0, 0, 76, 0, 0, 0]
    bar = [begin - 21 + 2 if begin else HOLD for begin in begins]
    two = windows([melody], "4/4", 1)
    assert two.tokens[0].tolist() == bar
    assert two.tokens[1].tolist()[::4] == [78 - 19, HOLD, OFF, 79 - 19]
    assert windows([melody], "3/4", 2).tokens.tolist()[0][:12:4] == [81 - 19, 78 - 19, 74 - 19]


def test_a_tune_that_stops_the_converter_leaves_the_others():
    found = list(read_tunes([ABC, "X:1\nK:", ABC, "X:1\nK:C\n" + "c" * 60_000]))
    assert [isinstance(each, Unusable) for each in found] == [False, True, False, True]
    assert str(found[3]) == "of more than 50,000 letters"


def test_windows_begin_with_what_sounds_and_are_counted_where_they_are_left_out():
    bars = [
        [C4, 0, 0, 0] * 4,
        [C4 + 2, 0, 0, 0] * 3 + [C4 + 4, 0, 0, 0],
        [0] * 8 + [OFF, 0, C4 + 1, 0] + [0] * 4,
        [0] * 16,
        [OFF] + [0] * 15,
        [OFF_GRID, C4] * 8,
        [C4, 0, 0, 0] * 4,
    ]
    found = windows([line(np.concatenate(bars))], bars=1)
    assert found.tokens.tolist() == [*bars[:2], [C4 + 4, *bars[2][1:]]]
    assert found.left_out == {
        "of fewer than 2 notes a bar": 1,
        "with a silent bar": 1,
        "with notes off the grid of sixteenths, such as triplets": 1,
        "met before": 1,
    }
    assert windows([line(bars[0]), line(np.concatenate(bars))], bars=2).too_short == 1
    held = windows([line([C4] + [0] * 15 + [0, 0, 0, 0, C4 + 1, 0, OFF, 0] * 2)], bars=1)
    assert held.tokens[-1].tolist()[:5] == [C4, 0, 0, 0, C4 + 1]


def test_metres_have_windows_of_their_own_from_where_they_begin():
    tokens = [C4, 0] * 8 + [C4 + 1, 0, 0] * 8 + [C4 + 2, 0] * 4
    metres = (Metre(0, 2, 4), Metre(16, 6, 8), Metre(40, 2, 4))
    melody = line(tokens, *metres)
    assert windows([melody], "4/4", 1).tokens.tolist() == [tokens[:16]]  # two bars of 2/4
    assert windows([melody], "6/8", 2).tokens.tolist() == [tokens[16:40]]
    assert windows([melody], "3/4", 1).tokens.shape == (0, 12)


def test_transposing_keeps_all_but_pitches_and_leaves_out_what_leaves_the_range():
    tokens = np.array([[C4, 0, OFF, 89], [C4, 0, 2, 0]], np.uint8)
    assert [each.tolist() for each in transpose(tokens, -1)] == [
        [[C4 - 1, 0, OFF, 88]],
        [True, False],
    ]
    assert [each.tolist() for each in transpose(tokens, 1)] == [[[C4 + 1, 0, 3, 0]], [False, True]]
    assert transpose(tokens, 0)[0].tolist() == tokens.tolist()


def test_notes_and_what_sounds_agree():
    tokens = np.random.default_rng(0).choice([0, 0, 0, 1, 30, 40, 41], (20, 32)).astype(np.uint8)
    for row in tokens:
        found, heard = notes(row), np.zeros(32, int)
        for start, end, pitch in zip(found.start, found.end, found.pitch, strict=True):
            heard[start:end] = pitch
        assert (sounding(row) == heard).all()


def test_variants_in_another_key_and_rhythm_are_of_one_family():
    rng = np.random.default_rng(0)
    first, second = rng.integers(30, 60, (2, 40))

    def tune(pitches, every):
        tokens = np.zeros(every * len(pitches), np.uint8)
        tokens[::every] = pitches
        return line(tokens)

    variant = np.concatenate([second[:8], first[10:30] + 5])
    melodies = [tune(first, 2), tune(second, 2), tune(variant, 4), tune([40] * 40, 1)]
    assert families(melodies).tolist() == [0, 1, 0, 2]
    assert families([*melodies, tune([41] * 40, 1)]).tolist() == [0, 1, 0, 2, 3]  # no passage
    bridge = np.concatenate([first[:20], second[:20]])
    assert families([*melodies, tune(bridge, 1)]).tolist() == [0, 0, 0, 1, 0]


def test_files_are_read_one_by_one_and_what_cannot_be_used_is_counted(tmp_path):
    content = midi(track(*scale(60, 62, 64, 65)))
    for name in ("a.mid", "b/a.MID"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "c.midi").write_bytes(b"")
    (tmp_path / "d.mid").mkdir()
    (tmp_path / "e.abc").write_text(f"a book\n\n{ABC}\n{ABC}\nX:3\n")
    (tmp_path / "f.abc").write_text("no tune")
    found = read_files(sorted(tmp_path.rglob("*.*")))
    assert found.names == ("a.mid", "a.MID", "e.abc 1", "e.abc 2")
    assert {reason: len(names) for reason, names in found.left_out.items()} == {
        "empty": 1,
        "that cannot be read": 1,
        "of which abc2midi makes nothing": 1,
        "without a tune, which begins with X:": 1,
    }


def xml(*bars, head=""):
    """A score in MusicXML of one part, a clarinet that sounds two semitones lower."""
    measures = "".join(f"<measure number='{i}'>{bar}</measure>" for i, bar in enumerate(bars))
    return f"""<?xml version="1.0" encoding="UTF-8"?>{head}
        <score-partwise version="4.0"><part-list><score-part id="P1">
        <part-name>Clarinet</part-name></score-part></part-list>
        <part id="P1">{measures}</part></score-partwise>""".encode()


def written(step, duration, extra="", octave=4):
    pitch = f"<pitch><step>{step}</step><octave>{octave}</octave></pitch>"
    return f"<note>{pitch}<duration>{duration}</duration>{extra}</note>"


FIRST_BAR = """<attributes><divisions>4</divisions><time><beats>2</beats><beat-type>4</beat-type>
    </time><transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose></attributes>"""
UPBEAT = FIRST_BAR + written("D", 2)
CHORD = "<harmony><root><root-step>C</root-step></root><kind>major</kind></harmony>"
GRACE = "<note><grace/><pitch><step>G</step><octave>5</octave></pitch></note>"
FULL = CHORD + GRACE + written("D", 4) + written("E", 4, "<tie type='start'/>")
TIED = written("E", 4, "<tie type='stop'/>") + "<note><rest/><duration>4</duration></note>"
REPEAT = "<barline location='right'><repeat direction='backward'/></barline>"


def test_musicxml_gives_what_sounds_with_its_repeats_and_its_bars():
    score = read_musicxml(xml(UPBEAT, FULL, TIED, FULL + REPEAT))
    melody = extract(score, track="clarinet")
    first = [C4, HOLD, C4, HOLD, HOLD, HOLD, C4 + 2, *[HOLD] * 7, OFF, *[HOLD] * 3]
    assert melody.tokens[:18].tolist() == first
    assert melody.tokens[18:26].tolist() == [C4, *[HOLD] * 3, C4 + 2, *[HOLD] * 3]
    assert melody.tokens[26:28].tolist() == first[:2]  # from the beginning again
    starts = [(metre.name, metre.start) for metre in melody.metres]
    assert starts == [("2/4", 0), ("2/4", 2), ("2/4", 28)]
    assert melody.others == 0


def test_compressed_musicxml_is_read_beside_other_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.MXL", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", "<rootfile full-path='inside/a.xml'/>")
        archive.writestr("inside/a.xml", xml(UPBEAT, FULL))
    (tmp_path / "b.musicxml").write_bytes(xml(UPBEAT, FULL).decode().encode("utf-16"))
    found = read_files(files_in(tmp_path))
    assert found.names == ("a.MXL", "b.musicxml")
    assert found.found[0].tokens.tolist() == found.found[1].tokens.tolist()


def damaged_archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", "<rootfile full-path='a.xml'/>" * 50)
    content = bytearray(buffer.getvalue())
    content[60:70] = b"\xff" * 10  # within the compressed stream
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no MusicXML"),
        (b"PK" + bytes(20), "damaged"),
        (b"<?xml version='1.0' encoding='no-such'?><score-partwise/>", "in no encoding"),
        (xml(UPBEAT)[:-30], "damaged"),
        (xml(FIRST_BAR), "without notes"),
        (xml(UPBEAT, head="<!DOCTYPE a [<!ENTITY b 'c'>]>"), "with entities"),
        (xml(UPBEAT + REPEAT.replace("'backward'", "'backward' times = '&#57;'")), "than 8 times"),
        (damaged_archive(), "damaged"),
        (xml(UPBEAT) + bytes(2**22), "more than 4 MiB"),
        (xml(UPBEAT.replace("<beats>2", "<beats>99")), "a metre that cannot be"),
    ],
)
def test_musicxml_that_cannot_be_used_is_told_in_a_few_words(content, reason):
    with pytest.raises(Unusable, match=reason):
        read_musicxml(content)


def test_midi_that_is_written_is_read_as_the_same_melodies():
    rng = np.random.default_rng(0)
    tokens = rng.choice([HOLD, HOLD, HOLD, OFF, 30, 41, 43], (3, 32)).astype(np.uint8)
    tokens[:, 0], tokens[:, -1] = C4, OFF
    melody = extract(read_midi(midi_bytes(tokens, metre="6/8", tempo=90)))
    steps = len(melody.tokens)  # up to the end of the last note
    assert steps > 64
    assert (sounding(melody.tokens) == sounding(tokens).ravel()[:steps]).all()
    assert ((melody.tokens >= 2) == (tokens >= 2).ravel()[:steps]).all()
    assert [each.name for each in melody.metres] == ["6/8"]
    symusic = pytest.importorskip("symusic")
    assert symusic.Score.from_midi(midi_bytes(tokens, tempo=90)).tempos[0].qpm == pytest.approx(90)


def test_sound_has_the_pitch_the_length_and_the_peak_that_it_should_and_no_clicks():
    tokens = np.array([[A4, 0, 0, 0, OFF, 0, 0, 0], [A4 - 12, 0, 0, 0, 0, 0, 0, 0]])
    samples = sound(tokens, tempo=120, rate=16_000)
    assert len(samples) == 16 * 2_000 + 960  # sixteenths of an eighth of a second, and a release
    spectrum = np.abs(np.fft.rfft(samples[:8_000]))
    assert np.argmax(spectrum) * 2 == 440
    low = np.abs(np.fft.rfft(samples[16_000:24_000]))
    assert np.argmax(low) * 2 == 220
    assert np.abs(samples).max() == pytest.approx(10 ** (-3 / 20))
    assert np.abs(samples[9_000:16_000]).max() == 0  # silence after the release
    assert samples[-1] == pytest.approx(0, abs=1e-6)
    high = np.abs(np.fft.rfft(samples))[len(samples) * 5_000 // 16_000 :]
    assert high.max() < 1e-3  # a step of a tenth would make it 0.014

    with wave.open(io.BytesIO(wave_bytes(tokens, rate=16_000))) as file:
        assert file.getparams()[:4] == (1, 2, 16_000, len(samples))
    assert np.abs(sound(np.zeros((1, 8), int))).max() == 0


def test_attributes_have_the_values_that_can_be_counted():
    scale = [C4, 0, C4 + 2, 0, C4 + 4, 0, C4 + 6, 0]  # F sharp is a black key
    syncopated = [0, C4, 0, C4, C4, C4, 0, 0]
    tokens = np.array([scale, syncopated, [0] * 8], np.uint8)
    assert density(tokens).tolist() == [2, 2, 0]
    assert interval(tokens).tolist() == [2, 0, 0]
    assert diatonic(tokens).tolist() == [0.75, 1, 0]
    assert syncopation(tokens).tolist() == [0, 0.5, 0]  # those at 1 and 3, not at 5
    assert eighth_syncopation(tokens).tolist() == [0, 0, 0]
    assert eighth_syncopation(np.array([[0, 0, C4, 0, C4, 0, C4, 0]])).tolist() == [1 / 3]


def test_the_direction_of_an_attribute_is_the_one_it_was_planted_in():
    rng = np.random.default_rng(0)
    values = rng.normal(size=4_000)
    codes = rng.normal(size=(4_000, 5))
    codes[:, 2] += 3 * values
    found = direction(codes, values)
    # Between the means of a normal's outer quarters lie 2 φ(z)/¼ = 2.542 deviations.
    assert found[2] == pytest.approx(3 * 2.542, rel=0.03)
    assert np.abs(found[[0, 1, 3, 4]]).max() < 0.2
    with pytest.raises(ConfigurationError, match="choose another attribute"):
        direction(codes, np.zeros(4_000))


def test_accuracy_counts_notes_as_well_as_steps():
    original = np.array([[C4, 0, 0, 0, C4 + 2, 0, OFF, 0], [C4, 0, C4, 0, C4, 0, C4, 0]])
    given = np.array([[C4, 0, 0, 0, C4 + 3, 0, C4, 0], [C4, 0, C4, 0, C4, 0, C4, 0]])
    found = accuracy(original, given)
    assert found.steps == 14 / 16
    assert found.steps_error == pytest.approx(0.125)
    assert found.onsets == pytest.approx(12 / 13)
    assert found.pitches == 5 / 6
    assert found.melodies == 0.5
    holds = accuracy(original, np.zeros_like(original))
    assert (holds.steps, holds.onsets, holds.pitches) == (9 / 16, 0, 0)


def test_the_simplest_predictions_are_what_they_say():
    train = np.array([[2, 3, 4, 5], [2, 3, 4, 6], [7, 3, 9, 6], [2, 3, 4, 6], [0, 0, 0, 0]])
    tokens = np.array([[2, 3, 4, 1], [7, 3, 8, 8], [8, 8, 3, 1]])
    assert copied(tokens).tolist() == [[0, 2, 3, 4], [0, 7, 3, 8], [0, 8, 8, 3]]
    assert most_common(tokens, train).tolist() == [[0] * 4] * 3
    # By the longest passage met: 2 3 4 → 6, 7 3 → 9, 3 → 4; else the most common of all.
    assert markov(tokens, train).tolist() == [[0, 3, 4, 6], [0, 3, 9, 0], [0, 0, 0, 4]]
    assert markov(tokens, train, context=1)[:2].tolist() == [[0, 3, 4, 6], [0, 3, 4, 0]]
