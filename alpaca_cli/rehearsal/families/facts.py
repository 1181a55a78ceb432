"""Timeless facts from small tables of our own: capitals, elements, planets, shapes, numerals and the like."""

from __future__ import annotations

import random

from alpaca_cli.rehearsal.chance import happens, integer, sample, shuffled
from alpaca_cli.rehearsal.english import capitalised, in_words, listing, with_article
from alpaca_cli.rehearsal.frames import framed, posed
from alpaca_cli.rehearsal.scenes import name, occasion, place
from alpaca_cli.rehearsal.task import Family, Task


def _table(text: str) -> tuple[tuple[str, str], ...]:
    rows = (" ".join(row.split()).partition("=") for row in text.split(";"))
    return tuple((left.strip(), right.strip()) for left, _, right in rows)


CAPITALS = _table("""
    Albania=Tirana; Algeria=Algiers; Angola=Luanda; Argentina=Buenos Aires; Armenia=Yerevan; Australia=Canberra;
    Austria=Vienna; Azerbaijan=Baku; Bangladesh=Dhaka; Belarus=Minsk; Belgium=Brussels; Bhutan=Thimphu;
    Botswana=Gaborone; Brazil=Brasilia; Bulgaria=Sofia; Cambodia=Phnom Penh; Cameroon=Yaounde; Canada=Ottawa;
    Chad=N'Djamena; Chile=Santiago; China=Beijing; Colombia=Bogota; Croatia=Zagreb; Cuba=Havana; Cyprus=Nicosia;
    Denmark=Copenhagen; Ecuador=Quito; Egypt=Cairo; Estonia=Tallinn; Ethiopia=Addis Ababa; Fiji=Suva;
    Finland=Helsinki; France=Paris; Gabon=Libreville; Georgia=Tbilisi; Germany=Berlin; Ghana=Accra;
    Greece=Athens; Guatemala=Guatemala City; Guyana=Georgetown; Haiti=Port-au-Prince; Hungary=Budapest;
    Iceland=Reykjavik; India=New Delhi; Iran=Tehran; Iraq=Baghdad; Ireland=Dublin; Italy=Rome; Jamaica=Kingston;
    Japan=Tokyo; Jordan=Amman; Kenya=Nairobi; Laos=Vientiane; Latvia=Riga; Lebanon=Beirut; Liberia=Monrovia;
    Libya=Tripoli; Lithuania=Vilnius; Madagascar=Antananarivo; Malawi=Lilongwe; Mali=Bamako; Malta=Valletta;
    Mexico=Mexico City; Moldova=Chisinau; Mongolia=Ulaanbaatar; Montenegro=Podgorica; Morocco=Rabat;
    Mozambique=Maputo; Namibia=Windhoek; Nepal=Kathmandu; New Zealand=Wellington; Nicaragua=Managua;
    Niger=Niamey; Nigeria=Abuja; Norway=Oslo; Oman=Muscat; Pakistan=Islamabad; Panama=Panama City;
    Paraguay=Asuncion; Peru=Lima; the Philippines=Manila; Poland=Warsaw; Portugal=Lisbon; Qatar=Doha;
    Romania=Bucharest; Russia=Moscow; Rwanda=Kigali; Senegal=Dakar; Serbia=Belgrade; Slovakia=Bratislava;
    Slovenia=Ljubljana; Somalia=Mogadishu; South Korea=Seoul; Spain=Madrid; Sudan=Khartoum; Sweden=Stockholm;
    Syria=Damascus; Thailand=Bangkok; Togo=Lome; Tunisia=Tunis; Turkey=Ankara; Uganda=Kampala; Ukraine=Kyiv;
    Uruguay=Montevideo; Uzbekistan=Tashkent; Venezuela=Caracas; Vietnam=Hanoi; Zambia=Lusaka; Zimbabwe=Harare""")
ELEMENTS = _table("""
    hydrogen=H 1; helium=He 2; lithium=Li 3; beryllium=Be 4; boron=B 5; carbon=C 6; nitrogen=N 7; oxygen=O 8;
    fluorine=F 9; neon=Ne 10; sodium=Na 11; magnesium=Mg 12; aluminium=Al 13; silicon=Si 14; phosphorus=P 15;
    sulphur=S 16; chlorine=Cl 17; argon=Ar 18; potassium=K 19; calcium=Ca 20; scandium=Sc 21; titanium=Ti 22;
    vanadium=V 23; chromium=Cr 24; manganese=Mn 25; iron=Fe 26; cobalt=Co 27; nickel=Ni 28; copper=Cu 29;
    zinc=Zn 30; gallium=Ga 31; germanium=Ge 32; arsenic=As 33; selenium=Se 34; bromine=Br 35; krypton=Kr 36;
    rubidium=Rb 37; strontium=Sr 38; yttrium=Y 39; zirconium=Zr 40; silver=Ag 47; cadmium=Cd 48; tin=Sn 50;
    antimony=Sb 51; iodine=I 53; xenon=Xe 54; caesium=Cs 55; barium=Ba 56; tungsten=W 74; platinum=Pt 78;
    gold=Au 79; mercury=Hg 80; lead=Pb 82; bismuth=Bi 83; radon=Rn 86; radium=Ra 88; uranium=U 92""")
POLYGONS = _table("""
    triangle=3; quadrilateral=4; pentagon=5; hexagon=6; heptagon=7; octagon=8; nonagon=9; decagon=10;
    hendecagon=11; dodecagon=12""")
PLANETS = ("Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune")
YOUNG = _table("""
    bear=cub; cat=kitten; cow=calf; deer=fawn; dog=puppy; duck=duckling; eagle=eaglet; elephant=calf;
    frog=tadpole; goat=kid; goose=gosling; hare=leveret; hen=chick; horse=foal; kangaroo=joey; lion=cub;
    owl=owlet; pig=piglet; seal=pup; sheep=lamb; swan=cygnet; tiger=cub; whale=calf; wolf=cub; zebra=foal;
    fox=cub; otter=pup; koala=joey""")
COUNTS = _table("""
    a spider=8 legs; an insect=6 legs; a chessboard=64 squares; a piano=88 keys; a violin=4 strings;
    a week=168 hours; a day=1440 minutes; an hour=3600 seconds; a right angle=90 degrees;
    a full circle=360 degrees; a gross=144 pieces; a fortnight=14 days; a century=100 years;
    a millennium=1000 years; a decade=10 years; a score=20 pieces; a cube=12 edges;
    a pyramid with a square base=8 edges; a tetrahedron=4 faces; an octahedron=8 faces;
    the English alphabet=26 letters; a football team on the field=11 players;
    a basketball team on court=5 players; a chess player at the start=16 pieces; a leap year=366 days;
    a quarter of a year=3 months; a standard guitar=6 strings; a pack of cards without jokers=52 cards;
    a rugby union team=15 players; a volleyball team on court=6 players; a pair of dice=12 faces;
    an octopus=8 arms; a sonnet=14 lines; a limerick=5 lines; a haiku=3 lines""")
ROMAN = (
    *((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X")),
    *((9, "IX"), (5, "V"), (4, "IV"), (1, "I")),
)


def roman(number: int) -> str:
    """A number from 1 to 3999 in Roman numerals."""
    text = ""
    for value, letters in ROMAN:
        count, number = divmod(number, value)
        text += letters * count
    return text


def _capital(rng: random.Random) -> Task:
    pairs, who = sample(rng, CAPITALS, integer(rng, 2, 3)), name(rng)
    lands = listing([land for land, _ in pairs])
    said = listing([f"{city} is the capital of {land}" for land, city in pairs])
    asked, given = posed(rng, lands, "countries")
    text = framed(
        rng,
        (
            f"name the capitals of {asked}",
            f"match {asked} with their capital cities",
            f"help {who} to recall the capitals of {asked}",
        ),
        (f"what are the capitals of {asked}", f"which cities are the capitals of {asked}"),
    )
    return Task(text, given, f"{capitalised(said)}.")


def _land_of_capital(rng: random.Random) -> Task:
    pairs, event = sample(rng, CAPITALS, integer(rng, 1, 2)), occasion(rng)
    cities = listing([city for _, city in pairs])
    said = listing([f"{city} is the capital of {land}" for land, city in pairs])
    one = len(pairs) == 1
    of_what = "of which country is that the capital" if one else "of which countries are these the capitals"
    text = framed(
        rng,
        (
            f"say of which country {cities} is the capital"
            if one
            else f"say of which countries {cities} are the capitals",
            f"name the country that has {cities} as its capital"
            if one
            else f"match {cities} with the countries whose capitals they are",
        ),
        (
            f"which {'country has' if one else 'countries have'} {cities} as capital",
            f"guests from {cities} come to {event}; {of_what}",
        ),
    )
    return Task(text, "", f"{capitalised(said)}.")


def _element(rng: random.Random) -> Task:
    pairs, who = sample(rng, ELEMENTS, integer(rng, 2, 4)), name(rng)
    by_number = happens(rng, 0.4)
    names = listing([each for each, _ in pairs])
    what = "atomic numbers" if by_number else "chemical symbols"
    asked, given = posed(rng, names, "elements")
    text = framed(
        rng,
        (
            f"give the {what} of {asked}",
            f"look up the {what} of {asked} in the periodic table",
            f"list for {who} the {what} of {asked}",
        ),
        (f"what are the {what} of {asked}", f"which {what} belong to {asked}"),
    )
    said = [f"{each} has {code.split()[1]}" if by_number else f"{each} has {code.split()[0]}" for each, code in pairs]
    return Task(text, given, f"{capitalised(listing(said))}.")


def _element_by_code(rng: random.Random) -> Task:
    pairs, room = sample(rng, ELEMENTS, integer(rng, 2, 4)), place(rng)
    by_number = happens(rng, 0.4)
    codes = listing([code.split()[1 if by_number else 0] for _, code in pairs])
    what = "atomic numbers" if by_number else "symbols"
    text = framed(
        rng,
        (
            f"name the chemical elements with the {what} {codes}",
            f"say which elements the {what} {codes} on the bottles in the {room} stand for",
        ),
        (f"which elements have the {what} {codes}", f"what elements do the {what} {codes} stand for in chemistry"),
    )
    said = [f"{code.split()[1 if by_number else 0]} is {each}" for each, code in pairs]
    return Task(text, "", f"{listing(said)}.")


def _planet(rng: random.Random) -> Task:
    one, two = sample(rng, range(8), 2)
    who, near = name(rng), happens(rng, 0.5)
    found = PLANETS[min(one, two) if near else max(one, two)]
    word = "closer to" if near else "farther from"
    text = framed(
        rng,
        (
            f"decide whether {PLANETS[one]} or {PLANETS[two]} is {word} the Sun, and give both places in the order",
            f"explain to {who} if {PLANETS[one]} or {PLANETS[two]} orbits {word} the Sun, with both positions",
        ),
        (
            f"which planet is {word} the Sun, {PLANETS[one]} or {PLANETS[two]}, and which numbers do they "
            "have in the order",
            f"is {PLANETS[one]} or {PLANETS[two]} {word} the Sun, counting the planets outwards",
        ),
    )
    places = [f"{PLANETS[each]} is planet number {each + 1}" for each in (one, two)]
    return Task(text, "", f"{found} is {word} the Sun: {listing(places)} from it.")


def _polygon(rng: random.Random) -> Task:
    one, two = sample(rng, POLYGONS, 2)
    thing, other = with_article(one[0]), with_article(two[0])
    sides = int(one[1]), int(two[1])
    room, angles = place(rng), happens(rng, 0.4)
    if angles:
        text = framed(
            rng,
            (f"work out the sum of the inner angles of {thing} and of {other}",),
            (
                f"what do the inner angles of {thing} and of {other} add up to",
                f"the {room} has a window shaped like {thing} and one like {other}; what are their sums of angles",
            ),
        )
        sums = [180 * (side - 2) for side in sides]
        return Task(
            text, "", f"{capitalised(thing)} has {sums[0]} degrees in all, and {other} {sums[1]}, by 180 x (n - 2)."
        )
    text = framed(
        rng,
        (
            f"say how many more or fewer sides {thing} has than {other}",
            f"compare the number of sides of {thing} and {other}, tiles of which lie in the {room}",
        ),
        (f"by how many sides do {thing} and {other} differ, and which has more",),
    )
    gap = sides[0] - sides[1]
    how = f"{in_words(abs(gap))} {'more' if gap > 0 else 'fewer'}"
    return Task(text, "", f"{capitalised(thing)} has {sides[0]} sides and {other} {sides[1]}, so the first has {how}.")


def _to_roman(rng: random.Random) -> Task:
    number, room = integer(rng, 4, 3999), place(rng)
    back = happens(rng, 0.45)
    if back:
        text = framed(
            rng,
            (
                f"read the Roman numeral {roman(number)} and give it in ordinary digits",
                f"decipher the year {roman(number)} carved above the door of the {room}",
            ),
            (f"which number is {roman(number)} in Roman numerals", f"what does the inscription {roman(number)} mean"),
        )
        return Task(text, "", f"{roman(number)} is {number}.")
    text = framed(
        rng,
        (
            f"write {number} in Roman numerals",
            f"carve the number {number} in Roman numerals over the door of the {room}",
        ),
        (f"how is {number} written in Roman numerals", f"what is the Roman numeral for {number}"),
    )
    return Task(text, "", f"{number} is {roman(number)} in Roman numerals.")


def _young_animal(rng: random.Random) -> Task:
    pairs, who = sample(rng, YOUNG, integer(rng, 2, 3)), name(rng)
    animals = listing([with_article(animal) for animal, _ in pairs])
    room = place(rng)
    asked, given = posed(rng, animals, "animals")
    text = framed(
        rng,
        (
            f"name the young of {asked}",
            f"tell {who} what the young of {asked} are called",
            f"write labels for the {room}: the words for the young of {asked}",
        ),
        (f"what are the young of {asked} called", f"which words are there for the young of {asked}"),
    )
    said = [f"the young of {with_article(animal)} is {with_article(young)}" for animal, young in pairs]
    return Task(text, given, f"{capitalised(listing(said))}.")


def _how_many(rng: random.Random) -> Task:
    one, two = sample(rng, COUNTS, 2)
    (first, number), (second, other) = (one[0], one[1].split()), (two[0], two[1].split())
    who = name(rng)
    text = framed(
        rng,
        (
            f"say how many {number[1]} {first} has and how many {other[1]} {second} has",
            f"help {who} with a riddle by adding the {number[1]} of {first} to the {other[1]} of {second}",
        ),
        (
            f"how many {number[1]} does {first} have, and how many {other[1]} does {second} have",
            f"what is the sum of the {number[1]} of {first} and the {other[1]} of {second}",
        ),
    )
    total = int(number[0]) + int(other[0])
    return Task(
        text,
        "",
        f"{capitalised(first)} has {number[0]} {number[1]} and {second} has {other[0]} {other[1]}, which makes "
        f"{total}.",
    )


def _true_capital(rng: random.Random) -> Task:
    pairs = sample(rng, CAPITALS, 3)
    land, city = pairs[0]
    offered, who = shuffled(rng, [each for _, each in pairs]), name(rng)
    shown = listing(offered, "or")
    text = framed(
        rng,
        (
            f"choose the capital of {land} from {shown}",
            f"tick the right answer for {who}: the capital of {land} is {shown}",
        ),
        (f"is {shown} the capital of {land}", f"which one is the capital of {land}: {shown}"),
    )
    return Task(text, "", f"The capital of {land} is {city}.")


FAMILIES = (
    Family("capital", _capital),
    Family("land_of_capital", _land_of_capital),
    Family("element", _element),
    Family("element_by_code", _element_by_code),
    Family("planet", _planet),
    Family("polygon", _polygon),
    Family("roman_numeral", _to_roman),
    Family("young_animal", _young_animal),
    Family("how_many", _how_many),
    Family("true_capital", _true_capital),
)
