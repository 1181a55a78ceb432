"""Texts to rows of codes.

Two kinds of codes.  Where all texts of a run pass through one process, a word's code is its rank among all words, the
rarest first (`ranked`).  Where they do not, it is made of a hash of the word (`hashed`), so that the texts of one shard
can be encoded without knowing of the others; that no two words of the run share a hash is then proved, not hoped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alpaca_cli.dedup import kernel, plain
from alpaca_cli.dedup.rouge import TokenizerName, unicode_words
from alpaca_cli.dedup.rows import Rows, Words

RANK_BITS = 20
"""Of a hash: as many buckets are told apart by how often their words occur."""


class Encoder:
    """Numbers words in order of their first coming."""

    def __init__(self, tokenizer: TokenizerName) -> None:
        self._tokenizer = tokenizer
        self.vocabulary: kernel.Vocabulary | plain.Vocabulary = (
            plain.Vocabulary() if kernel.LIBRARY is None else kernel.Vocabulary(kernel.LIBRARY)
        )

    def number(self, texts: Sequence[str]) -> Numbered:
        """The words of each text as numbers."""
        if not texts:
            return Numbered(np.zeros(0, dtype=np.uint32), np.zeros(1, dtype=np.int64))
        if self._tokenizer == "unicode":
            joined = "\n".join(" ".join(unicode_words(text)) for text in texts)
        else:
            joined = "\n".join(texts)
            if joined.count("\n") >= len(texts):
                joined = "\n".join(text.replace("\n", " ") for text in texts)
            joined = joined.lower()
        raw = joined.encode("utf-8", "surrogatepass")
        return Numbered(*self.vocabulary.number(raw, len(texts), spaced=self._tokenizer == "unicode"))


@dataclass(frozen=True)
class Numbered:
    """The words of texts as numbers of a vocabulary; `starts` as in Rows."""

    numbers: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.int64]

    def coded(self, codes: npt.NDArray[np.uint64]) -> Rows:
        """Rows, given the code of each number."""
        return Rows(codes[self.numbers], self.starts)


def ranked(counts: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The code of each word by how often it came: 0 for the rarest, the later of equals first."""
    order = np.argsort(counts[::-1], kind="stable")
    codes = np.empty(len(counts), dtype=np.uint64)
    codes[len(counts) - 1 - order] = np.arange(len(counts), dtype=np.uint64)
    return codes


def hash_words(words: Words, salt: int) -> npt.NDArray[np.uint64]:
    """64 bits of each word: equal for two different words about once in 2^64; another salt gives other hashes."""
    return plain.hash_words(words, salt) if kernel.LIBRARY is None else kernel.hash_words(kernel.LIBRARY, words, salt)


def agree(words: Words, hashes: npt.NDArray[np.uint64]) -> bool:
    """Whether all words of one hash are the same word.  A word may stand there several times."""
    return plain.agree(words, hashes) if kernel.LIBRARY is None else kernel.agree(kernel.LIBRARY, words, hashes)


def bucket_counts(hashes: npt.NDArray[np.uint64], counts: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """How often the words of each bucket came, given the hash and count of each word.  Add up those of all shards."""
    buckets = (hashes >> np.uint64(64 - RANK_BITS)).astype(np.int64)
    summed = np.bincount(buckets, weights=counts.astype(np.float64), minlength=1 << RANK_BITS)
    return summed.astype(np.int64)  # exact below 2^53


def bucket_ranks(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """The place of each bucket, the rarest first."""
    ranks = np.empty(len(counts), dtype=np.uint64)
    ranks[np.argsort(counts, kind="stable")] = np.arange(len(counts), dtype=np.uint64)
    return ranks


def hashed(hashes: npt.NDArray[np.uint64], ranks: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Codes of hashes: the first bits, which say the bucket, become the bucket's place.  Different stay different."""
    low = np.uint64(64 - RANK_BITS)
    codes: npt.NDArray[np.uint64] = (ranks[hashes >> low] << low) | (hashes & np.uint64((1 << (64 - RANK_BITS)) - 1))
    return codes
