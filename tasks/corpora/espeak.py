"""Speech with sample-exact phone alignment from espeak-ng.

The library and its voices come in the `espeakng_loader` wheel. The library keeps all of its state
in statics, so that one process could have one synthesiser only, and what it says would depend on
what it said before. `Synthesiser` therefore loads a private copy of the shared object: a fresh one
always begins from the same state.

Source: espeak-ng 1.52, `speak_lib.h`.
"""

import _ctypes
import csv
import ctypes
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "SAMPLE_RATE_HZ",
    "PhoneEvent",
    "Synthesiser",
    "Utterance",
    "accent_file",
    "espeak_version",
    "phone_classes",
]

SAMPLE_RATE_HZ = 22050

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS = 0x0001
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POS_CHARACTER = 1
_EVENT_LIST_TERMINATED = 0
_EVENT_PHONEME = 7
_PARAMETER = {"rate_wpm": 1, "word_gap_10ms": 7}
_STRESS_MARKS = "',%="


@dataclass(frozen=True, kw_only=True, slots=True)
class PhoneEvent:
    """A phone and the sample at which it starts."""

    start_sample: int
    phone: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """What the synthesiser said, at `SAMPLE_RATE_HZ`.

    Attributes:
        samples: 16-bit samples.
        phones: Phones in order; each lasts until the next, the last one to the end.
    """

    samples: NDArray[np.int16]
    phones: tuple[PhoneEvent, ...]


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Synthesiser:
    """One espeak-ng with its own state; use it as a context manager.

    What it says is a function of all calls since it was made, and of nothing else.
    """

    def __init__(self) -> None:
        self._library = _private_library()
        self._pieces: list[NDArray[np.int16]] = []
        self._marks: list[tuple[int, str]] = []
        self._callback = _Callback(self._collect)
        rate_hz = self._library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS,
            0,
            espeakng_loader.get_data_path().encode(),
            _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_DONT_EXIT,
        )
        assert rate_hz == SAMPLE_RATE_HZ, f"espeak-ng runs at {rate_hz} Hz"
        self._library.espeak_SetSynthCallback(self._callback)

    def __enter__(self) -> "Synthesiser":  # noqa: PYI034 (beartype knows no Self in methods)
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._library.espeak_Terminate()
        # A thousand speakers would otherwise leave a thousand copies of the library mapped.
        _ctypes.dlclose(self._library._handle)  # noqa: SLF001

    def say(
        self, text: str, *, voice: str, rate_wpm: int, word_gap_10ms: int = 0, seed: int
    ) -> Utterance:
        """Synthesise `text`.

        Args:
            text: English text; punctuation sets pauses and intonation.
            voice: Text of an espeak-ng voice file.
            rate_wpm: Words per minute, 80 to 450.
            word_gap_10ms: Pause between words in units of 10 ms.
            seed: Seed of the noise in voiceless and breathy sounds.
        """
        self._set_voice(voice)
        for name, value in (("rate_wpm", rate_wpm), ("word_gap_10ms", word_gap_10ms)):
            self._check(self._library.espeak_SetParameter(_PARAMETER[name], value, 0))
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        self._pieces, self._marks = [], []
        line = text.encode()
        self._check(
            self._library.espeak_Synth(
                line, len(line) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
            )
        )
        self._check(self._library.espeak_Synchronize())
        return Utterance(
            samples=np.concatenate(self._pieces),
            phones=tuple(PhoneEvent(start_sample=at, phone=_phone(m)) for at, m in self._marks),
        )

    def _set_voice(self, voice: str) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".voice", encoding="utf-8") as file:
            file.write(voice)
            file.flush()
            self._check(self._library.espeak_ng_SetVoiceByFile(file.name.encode()))

    def _collect(self, samples: Any, n: int, events: Any) -> int:
        if samples and n > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (n,)).copy())
        self._marks.extend(_phone_marks(events))
        return 0

    @staticmethod
    def _check(status: int) -> None:
        assert status == 0, f"espeak-ng answers with status {status:#x}"


def _phone_marks(events: Any) -> Iterator[tuple[int, str]]:
    """Yield start sample and mnemonic of the phones in espeak's terminated list."""
    i = 0
    while events[i].type != _EVENT_LIST_TERMINATED:
        if events[i].type == _EVENT_PHONEME:
            yield events[i].sample, events[i].id.string.decode()
        i += 1


def _phone(mnemonic: str) -> str:
    return _phone_of_mnemonic()[mnemonic.lstrip(_STRESS_MARKS)]


def _private_library() -> ctypes.CDLL:
    """Load a copy of the library: another file is another set of statics to the loader."""
    with tempfile.TemporaryDirectory(prefix="espeak-") as folder:
        return ctypes.CDLL(shutil.copy(espeakng_loader.get_library_path(), folder))


@cache
def _phone_of_mnemonic() -> dict[str, str]:
    with files(__package__).joinpath("phones.csv").open(encoding="utf-8") as file:
        return {row["mnemonic"]: row["phone"] for row in csv.DictReader(file)}


def phone_classes() -> tuple[str, ...]:
    """Return the 40 phone classes (ARPAbet in lower case, folded, and `sil`) in order."""
    return tuple(sorted(set(_phone_of_mnemonic().values())))


def espeak_version() -> str:
    """Return the version of the library in the wheel."""
    library = _private_library()
    library.espeak_Info.restype = ctypes.c_char_p
    return str(library.espeak_Info(None).decode().split()[0])


def accent_file(accent: str) -> str:
    """Return the text of the voice file of an accent of English, e.g. `en-GB-scotland`."""
    return Path(espeakng_loader.get_data_path(), "lang", "gmw", accent).read_text("utf-8")
