"""What people read at the till, in simplified Chinese and English: one typed catalogue, and the table of codes."""

from __future__ import annotations

from typing import Final

from terminal.words import en, zh
from terminal.words.catalogue import Language, Words

WORDS: Final[dict[Language, Words]] = {Language.ZH_HANS: zh.WORDS, Language.EN: en.WORDS}
