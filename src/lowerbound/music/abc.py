"""Tunes in ABC notation, by way of abc2midi, which symusic brings.

It runs as a process of its own with limits, since it is a C program that text from anywhere is
given to.  Bars are found again by its accents: the first note of a bar is the loudest.

Source: Walshaw et al., The ABC music standard 2.1, 2011; Allwright & Shlien, abcMIDI.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from lowerbound.extras import needs
from lowerbound.music.score import Metre, Score, Unusable, read_midi

MOST_LETTERS = 50_000
AT_ONCE, SECONDS = 64, 10
LIMITS = "ulimit -c 0; ulimit -t 5; ulimit -f 16384; ulimit -v 1000000"
"""No core, seconds of processor, blocks of output and KiB of memory."""
OPTIONS = ("-NGRA", "-NGUI", "-NFER", "-NFNP", "-silent")
"""No grace notes, no chords by name, no fermatas, no dynamics."""
LOUDEST = 105
FIELD = re.compile(r"[A-Za-z]:")
TIMES = re.compile(r"(?m)^([LM]):(.{1,32})$")
ORNAMENT = re.compile(r'"[^"]*"|![^!]*!|[H-WYh-w~.]|(\[[A-Za-z]:[^\]]*\])')
"""Annotations, decorations and, as group 1, fields within a line of music, which stay."""


def tunes(text: str) -> Iterator[str]:
    """The tunes of a book in ABC, each from its ``X:`` on.

    Each has the fields of the file's header on which times depend before its own.
    """
    header, *found = re.split(r"(?m)^(?=X:)", "\n" + "\n".join(text.splitlines()))
    fields = "".join(f"{name}:{value}\n" for name, value in dict(TIMES.findall(header)).items())
    for tune in found:
        number, _, rest = tune.partition("\n")
        yield f"{number}\n{fields}{rest}"


def read_tunes(tunes: Sequence[str]) -> Iterator[Score | Unusable]:
    """The score of each tune, or why there is none.

    Each voice is a track, and metres begin where bars do.  Ornaments, accents, chords by name and
    directives are left out, repeats are played.
    """
    needs("symusic", "music")
    batches = [tunes[i : i + AT_ONCE] for i in range(0, len(tunes), AT_ONCE)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for batch, made in zip(batches, threads.map(_convert, batches), strict=True):
            for tune, midi in zip(batch, made, strict=True):
                too_long = Unusable(f"of more than {MOST_LETTERS:,} letters")
                yield too_long if len(tune) > MOST_LETTERS else _score(midi)


def _convert(tunes: Sequence[str]) -> list[bytes]:
    """The tunes as MIDI; nothing for those that abc2midi makes nothing of."""
    with tempfile.TemporaryDirectory() as folder:
        book = (
            f"X:{i}\n{plain(tune)}" if len(tune) <= MOST_LETTERS else ""
            for i, tune in enumerate(tunes)
        )
        Path(folder, "book.abc").write_text("\n".join(book), "latin-1", "replace")
        command = f'{LIMITS}; exec "$0" book.abc {" ".join(OPTIONS)}'
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ["sh", "-c", command, os.environ["SYMUSIC_ABC2MIDI"]],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS,
                check=False,
            )
        made = [Path(folder, f"book{i}.mid") for i in range(len(tunes))]
        found = [path.read_bytes() if path.exists() else b"" for path in made]
    if len(tunes) == 1:
        return found
    # Where one ended the program, those after it are missing too.
    return [midi or _convert([tune])[0] for midi, tune in zip(found, tunes, strict=True)]


def _score(midi: bytes) -> Score | Unusable:
    try:
        if not midi:
            raise Unusable("of which abc2midi makes nothing")
        score = read_midi(midi)
    except Unusable as error:
        return error
    return replace(score, metres=tuple(_barred(score)))


def plain(tune: str) -> str:
    r"""A tune without its number, and without what would change its rhythm or its accents.

    >>> print(plain('X:1\nR:hornpipe\nK:D\n~A"Am"B .c[M:3/4]!f!d|'))
    K:D
    %%MIDI ratio 3 1
    AB c[M:3/4]d|
    """
    kept = []
    for line in tune.splitlines():
        if line.startswith(("%%", "R:", "X:")):
            continue
        if FIELD.match(line):
            kept.append(line)
            if line.startswith("K:") and "%%MIDI ratio 3 1" not in kept:
                kept.append("%%MIDI ratio 3 1")
        else:
            kept.append(ORNAMENT.sub(lambda found: found[1] or "", line))
    return "\n".join(kept) + "\n"


def _barred(score: Score) -> Iterator[Metre]:
    """The metres, each begun anew where a bar begins off its grid: after upbeats and short bars."""
    first = score.tracks[0]
    downbeats = first.start[first.velocity == LOUDEST].round()
    ends = [metre.start for metre in score.metres[1:]] + [np.inf]
    for metre, end in zip(score.metres, ends, strict=True):
        yield metre
        start = metre.start
        for beat in downbeats[(downbeats > start) & (downbeats < end)]:
            if (beat - start) % metre.bar:
                yield replace(metre, start=float(beat))
                start = beat
