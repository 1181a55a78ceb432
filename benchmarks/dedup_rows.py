"""Made rows for `benchmarks/dedup.py`, as many as wanted, with near-duplicates among them; written as JSONL.

Two kinds, both drawn one after the other from a fixed seed, so that fewer rows are the beginning of more:

- `real-like`: 85 % are new, derived from a random instruction of a dataset (or, without one, of 5,000 made ones): of
  its words, 20 % of the hundred most frequent and 70 % of the others are drawn anew, 5 % left out and as many put in;
  15 % copy an earlier row, whichever, with one to four words drawn anew, left out or put in.  So "What is the ... of"
  stays, and pairs that are like one another by half are about half as frequent as among Alpaca's own instructions.
- `template-heavy`: one of 36 phrases of teachers ("Write a short story about ...") with one to three holes, of which
  each gets one to eight words.  The phrases too are as frequent as Zipf would have it: their words are hot keys.

Words come from a Pitman-Yor process that goes on from the dataset's own: the next is an old one, the likelier the more
often it was drawn, or, ever more rarely, one never seen.  So a vocabulary grows as that of a text, with the number of
words to the power of 0.55 (measured on 5,000 instructions of Alpaca), and does not fill up in a million rows.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from alpaca_cli.dedup.rouge import rouge_words

KINDS = ("real-like", "template-heavy")
GROWTH, STRENGTH = 0.55, 50  # discount and strength of the Pitman-Yor process
NEAR, LEFT_OUT, FREQUENT = 0.15, 0.05, 100
FREQUENT_ANEW, OTHERS_ANEW = 0.2, 0.7
MADE_ROWS, OUTPUT_WORDS = 5_000, 60
HOLE_WORDS = 1, 8  # from, to
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
TEMPLATES = """
Write a short story about {}.
What is the capital of {}?
Generate a list of five {}.
Explain the difference between {} and {}.
Rewrite the following sentence to sound more formal: {} {} {}
Describe a {} in your own words.
Give me three tips for {}.
Summarize the main points of {}.
What are the advantages and disadvantages of {}?
Write a poem about {} in the style of {}.
Create a {} for a company that sells {}.
How do I {} without {}?
Translate the following into Spanish: {} {}
Classify the following as {} or {}: {}
Name a famous {} who lived in {}.
Suggest a title for an article about {}.
Compare and contrast {} and {}.
Come up with a {} for {}.
Convert {} into {}.
What would happen if {} were {}?
List the ingredients that I need for {}.
Write an email to {} about {}.
Tell me a joke about {}.
Identify the {} in this sentence: {} {}
Explain {} to a five year old.
Find a synonym of {} that fits {}.
Design an experiment that shows {}.
Write a function in Python that {}.
Why is {} important for {}?
Calculate the {} of {}.
Imagine that you are {}. Describe {}.
Recommend a book about {} and say why.
Arrange these words in alphabetical order: {} {} {}
Is it true that {}?
Make a plan for {} on a budget of {}.
Edit this paragraph so that it has no {}: {} {}
""".strip().splitlines()


class Words:
    """An endless text's words, going on from some that are there."""

    def __init__(self, rng: random.Random, text: Sequence[str] = ()) -> None:
        self._rng = rng
        self._text = list(text)
        self._count = Counter(text)
        self._made = 0

    def draw(self) -> str:
        """The next word."""
        rng, text, count = self._rng, self._text, self._count
        if rng.random() * (STRENGTH + len(text)) < STRENGTH + GROWTH * len(count):
            word = self._new()
        else:
            word = text[int(rng.random() * len(text))]
            while rng.random() * count[word] < GROWTH:
                word = text[int(rng.random() * len(text))]
        text.append(word)
        count[word] += 1
        return word

    def _new(self) -> str:
        while True:
            self._made += 1
            number, word = self._made, ""
            while number or len(word) < 4:
                number, digit = divmod(number, len(SYLLABLES))
                word += SYLLABLES[digit]
            if word not in self._count:
                return word


def real_like(rng: random.Random, data: Path | None) -> Iterator[str]:
    """Instructions without end."""
    if data is not None:
        base = list(filter(None, map(rouge_words, instructions_of(data))))
        words = Words(rng, [word for row in base for word in row])
    else:
        words = Words(rng)
        base = [[words.draw() for _ in range(rng.randint(4, 16))] for _ in range(MADE_ROWS)]
    frequent = {word for word, _ in Counter(word for row in base for word in row).most_common(FREQUENT)}
    earlier: list[str] = []
    while True:
        if earlier and rng.random() < NEAR:
            row = lightly_edited(rng, rng.choice(earlier).split(), words)
        else:
            row = derived(rng, rng.choice(base), words, frequent)
        earlier.append(" ".join(row))
        yield earlier[-1]


def instructions_of(dataset: Path) -> list[str]:
    """Those of a JSON list of rows, as Stanford's `alpaca_data.json` is one."""
    return [row["instruction"] for row in json.loads(dataset.read_text(encoding="utf-8"))]


def with_copies(texts: Sequence[str], copies: int) -> list[str]:
    """The texts, and behind them lightly edited copies of random ones."""
    rng = random.Random(2)
    rows = list(filter(None, map(rouge_words, texts)))
    words = Words(rng, [word for row in rows for word in row])
    return [*texts, *(" ".join(lightly_edited(rng, list(rng.choice(rows)), words)) for _ in range(copies))]


def derived(rng: random.Random, row: Sequence[str], words: Words, frequent: set[str]) -> list[str]:
    """A row in which much is different."""
    made = []
    for word in row:
        if rng.random() < LEFT_OUT:
            continue
        anew = rng.random() < (FREQUENT_ANEW if word in frequent else OTHERS_ANEW)
        made.append(words.draw() if anew else word)
        if rng.random() < LEFT_OUT:
            made.append(words.draw())
    return made or [words.draw()]


def lightly_edited(rng: random.Random, row: list[str], words: Words) -> list[str]:
    """A row with one to four words drawn anew, left out or put in."""
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(row) + 1)
        row[place : place + rng.randint(0, 1)] = [words.draw()] if len(row) < 2 or rng.random() < 0.75 else []
    return row


def template_heavy(rng: random.Random) -> Iterator[str]:
    """Instructions without end."""
    words = Words(rng)
    shares = [1 / rank for rank in range(1, len(TEMPLATES) + 1)]
    while True:
        for template in rng.choices(TEMPLATES, shares, k=1000):
            holes = template.count("{}")
            yield template.format(
                *(" ".join(words.draw() for _ in range(rng.randint(*HOLE_WORDS))) for _ in range(holes))
            )


def instructions(kind: str, data: Path | None = None) -> Iterator[str]:
    """Instructions of a kind without end; always the same."""
    rng = random.Random(0)
    return real_like(rng, data) if kind == "real-like" else template_heavy(rng)


def write_rows(path: Path, kind: str, rows: int, data: Path | None = None) -> None:
    """A JSONL file of so many rows, with outputs of 60 words, before which stands the row's number, from 0."""
    rng = random.Random(1)
    words = Words(rng)
    text = [words.draw() for _ in range(100_000)]
    with path.open("w", encoding="utf-8") as stream:
        for number, instruction in enumerate(islice(instructions(kind, data), rows)):
            begin = rng.randrange(len(text) - OUTPUT_WORDS)
            output = " ".join([str(number), *text[begin : begin + OUTPUT_WORDS]])
            stream.write(json.dumps({"instruction": instruction, "input": "", "output": output}) + "\n")
