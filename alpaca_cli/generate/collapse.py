"""The end of a run whose teacher gives nothing usable: what it gives instead, in words."""

from __future__ import annotations

from collections import Counter

from alpaca_cli.errors import TeacherError
from alpaca_cli.generate.replay import NOT_NOVEL, Replay

_MOST_SHOWN = 600


def collapse(replay: Replay) -> TeacherError:
    """Completion after completion without an accepted task.

    The count goes over the journal, so that running the same command again asks one more and no further patience.
    """
    count = replay.num_barren
    first = replay.used[-count].k
    found = Counter(refused.reason for refused in replay.refused if refused.k >= first)
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in found.most_common(4))
    hint = (
        "look at journal.jsonl; a model that does not follow the prompt needs another --prompt or --model "
        "(a base model: --set teacher.api=completions), in another --out"
    )
    if found and found.most_common(1)[0][0] == "truncated":
        hint = "answers end before a task does: raise --set teacher.max_tokens, in another --out"
    elif found and found.most_common(1)[0][0] == NOT_NOVEL:
        hint = (
            "the answers repeat one another: some servers always take the likeliest word unless told otherwise, "
            "with --set teacher.temperature=1.0, in another --out"
        )
    last = replay.used[-1]
    text = " ".join(last.text.split())
    excerpt = f"{text[:_MOST_SHOWN]}..." if len(text) > _MOST_SHOWN else text
    return TeacherError(
        f"{count} completions in a row gave no accepted task ({reasons or 'no task was found in them'}); "
        f"the last one (request {last.k}, finish reason {last.finish_reason}) reads: {excerpt!r}",
        hint=hint,
    )
