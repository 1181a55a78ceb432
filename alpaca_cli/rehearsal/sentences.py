"""Short plain sentences made of parts, kept apart so that rules can recast them: voice, tense, person, denial."""

from __future__ import annotations

import random
from dataclasses import dataclass

from alpaca_cli.rehearsal.chance import choice, happens
from alpaca_cli.rehearsal.english import Verb, plural
from alpaca_cli.rehearsal.words import AIRS, OBJECTS, PLACES, QUALITIES, ROLES, TEMPERS


def _verbs(text: str) -> tuple[Verb, ...]:
    rows = (row.split() for row in text.split(";"))
    return tuple(Verb(base, third, past, participle) for base, third, past, participle in rows)


TRANSITIVE = _verbs("""
    admire admires admired admired; borrow borrows borrowed borrowed; break breaks broke broken;
    build builds built built; buy buys bought bought;
    carry carries carried carried; catch catches caught caught; choose chooses chose chosen;
    clean cleans cleaned cleaned; collect collects collected collected; count counts counted counted;
    cover covers covered covered; describe describes described described; design designs designed designed;
    drop drops dropped dropped; examine examines examined examined; find finds found found;
    fix fixes fixed fixed; follow follows followed followed; forget forgets forgot forgotten;
    hide hides hid hidden; hold holds held held; inspect inspects inspected inspected; keep keeps kept kept;
    label labels labelled labelled; lift lifts lifted lifted; lose loses lost lost; make makes made made;
    mend mends mended mended; move moves moved moved; notice notices noticed noticed;
    offer offers offered offered; open opens opened opened; order orders ordered ordered;
    pack packs packed packed; paint paints painted painted; polish polishes polished polished;
    push pushes pushed pushed; repair repairs repaired repaired; replace replaces replaced replaced;
    return returns returned returned; sell sells sold sold; show shows showed shown;
    store stores stored stored; take takes took taken; test tests tested tested;
    throw throws threw thrown; touch touches touched touched; use uses used used; wash washes washed washed;
    weigh weighs weighed weighed; wrap wraps wrapped wrapped""")

WHENS = tuple(
    " ".join(part.split())
    for part in [
        "\n    before breakfast",
        " after breakfast",
        " before lunch",
        " after lunch",
        " before dinner",
        " after dinner",
        " after dark",
        " at dawn",
        " at noon",
        "\n    at sunrise",
        " at dusk",
        " at midnight",
        " late at night",
        " in the early morning",
        " during the lunch break",
        " during the tea break",
        "\n    in the rain",
        " in the snow",
        " during a heatwave",
        " during a thunderstorm",
        " in early spring",
        " in late autumn",
        " in midwinter",
        "\n    without any help",
        " with great care",
        " in a hurry",
        " by candlelight",
        " by torchlight",
        " on a windy day",
        " on a frosty day",
        "\n    on a rainy day",
        " on a quiet day",
        " during the holidays",
        " after the storm",
        " for a small fee",
        " free of charge",
        " with a smile",
        "\n    with both hands",
        " in complete silence",
        " despite the noise",
        " for an old friend",
        " on behalf of a neighbour",
        " out of habit",
        "\n    by mistake",
        " on purpose",
        " with cold fingers",
        " under a bright lamp",
        " between two meetings",
        " after a long walk\n    ",
    ]
)


@dataclass(frozen=True)
class Clause:
    """Who does what to which thing and where: every part as it stands in the sentence."""

    subject: str
    verb: Verb
    thing: str
    many: bool
    where: str

    def past(self) -> str:
        return f"{self.subject} {self.verb.past} {self.thing} {self.where}"

    def present(self) -> str:
        return f"{self.subject} {self.verb.third} {self.thing} {self.where}"


def clause(rng: random.Random, *, many: bool | None = None) -> Clause:
    """A clause whose subject is one person, without a capital or a full stop."""
    calling, thing = choice(rng, ROLES), choice(rng, OBJECTS)
    subject = f"the {choice(rng, TEMPERS)} {calling}" if happens(rng, 0.5) else f"the {calling}"
    several = happens(rng, 0.4) if many is None else many
    kind = plural(thing) if several else thing
    room = choice(rng, PLACES)
    return Clause(
        subject,
        choice(rng, TRANSITIVE),
        f"the {choice(rng, QUALITIES)} {kind}" if happens(rng, 0.5) else f"the {kind}",
        several,
        f"in the {choice(rng, AIRS)} {room}" if happens(rng, 0.3) else f"in the {room}",
    )
