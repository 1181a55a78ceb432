"""Prices, change, discounts, wages and savings, computed in whole cents."""

from __future__ import annotations

import random
from fractions import Fraction

from alpaca_cli.rehearsal.chance import choice, happens, integer, sample
from alpaca_cli.rehearsal.english import amount, capitalised, fixed, in_words, money, plural, with_article
from alpaca_cli.rehearsal.frames import framed, opening
from alpaca_cli.rehearsal.scenes import name, place, things
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import OBJECTS, QUALITIES, TOWNS

GROCERIES = (
    *("apple", "bagel", "banana", "bread roll", "broccoli head", "bunch of radishes", "cabbage", "carton of milk"),
    *("cauliflower", "coconut", "croissant", "cucumber", "jar of honey", "jar of jam", "lemon", "lettuce", "mango"),
    *("melon", "muffin", "onion", "orange", "packet of rice", "papaya", "peach", "pear", "pineapple", "pumpkin"),
    *("scone", "tin of beans", "bag of oats", "bottle of oil", "bar of soap", "block of butter", "wheel of cheese"),
)


def _shopping_total(rng: random.Random) -> Task:
    items = sample(rng, GROCERIES, integer(rng, 2, 4))
    counts, prices = [integer(rng, 1, 6) for _ in items], [5 * integer(rng, 6, 120) for _ in items]
    sums = [count * price for count, price in zip(counts, prices, strict=True)]
    who, shop = name(rng), place(rng)
    text = framed(
        rng,
        (
            f"add up what {who} has to pay for the shopping listed below",
            f"work out the bill for the {in_words(len(items))} purchases in the input",
            f"check the till of the {shop} by adding the amounts below",
            "compute the total price of the items, which are given with their number and unit price",
        ),
        ("what does the shopping listed below cost in total", f"how much must {who} pay at the {shop} for this list"),
    )
    given = "\n".join(
        f"{amount(count, item)} at {money(price)} each"
        for count, item, price in zip(counts, items, prices, strict=True)
    )
    return Task(text, given, f"{' + '.join(map(money, sums))} = {money(sum(sums))}.")


def _change(rng: random.Random) -> Task:
    start, item = opening(rng), f"{choice(rng, QUALITIES)} {choice(rng, OBJECTS)}"
    note = choice(rng, (1000, 2000, 5000, 10000))
    price = 5 * integer(rng, note // 40, note // 5 - 1)
    text = choice(
        rng,
        (
            f"{start.text} paid for {with_article(item)} priced {money(price)} with a {money(note)} note. "
            f"How much change is due?",
            f"{start.text} bought {with_article(item)} for {money(price)} and handed over {money(note)}. "
            f"Work out the change.",
            f"{start.text} gave {money(note)} for {with_article(item)} that costs {money(price)}. What comes back?",
        ),
    )
    return Task(
        text, "", f"{money(note)} - {money(price)} = {money(note - price)}, so the change is {money(note - price)}."
    )


def _discount(rng: random.Random) -> Task:
    item, percent = f"{choice(rng, QUALITIES)} {choice(rng, OBJECTS)}", choice(rng, (5, 10, 15, 20, 25, 30, 40, 60, 75))
    price = 100 * integer(rng, 8, 240)
    off = price * percent // 100
    text = framed(
        rng,
        (
            f"compute the sale price of {with_article(item)} that cost {money(price)} before a discount of {percent}%",
            f"take {percent}% off {money(price)} for {with_article(item)} and state the new price",
            f"reduce the price of {with_article(item)}, {money(price)}, by {percent}%",
        ),
        (
            f"what does {with_article(item)} for {money(price)} cost after {percent}% off",
            f"if {with_article(item)} is marked down by {percent}% from {money(price)}, what is the price now",
        ),
    )
    return Task(text, "", f"{percent}% of {money(price)} is {money(off)}, so the new price is {money(price - off)}.")


def _split_bill(rng: random.Random) -> Task:
    start, friends = opening(rng), integer(rng, 3, 9)
    each = 5 * integer(rng, 90, 900)
    tip = 100 * integer(rng, 1, 9)
    bill = each * friends - tip
    town = choice(rng, TOWNS)
    text = choice(
        rng,
        (
            f"{start.text} shared a bill of {money(bill)} plus a tip of {money(tip)} among {friends} people. "
            f"What did each pay?",
            f"{start.text} ate out in {town} with friends, {friends} people in all: {money(bill)}, tip {money(tip)}. "
            f"Split it evenly.",
            f"{start.text} and others, {friends} altogether, owe {money(bill)} and a tip of {money(tip)}. "
            f"Give the equal share.",
        ),
    )
    return Task(text, "", f"({money(bill)} + {money(tip)}) / {friends} = {money(each)}, so each pays {money(each)}.")


def _unit_price(rng: random.Random) -> Task:
    item = choice(rng, OBJECTS)
    sizes = sample(rng, (2, 3, 4, 5, 6, 8, 10, 12), 2)
    low = 5 * integer(rng, 8, 150)
    prices = [low, low + 5 * integer(rng, 1, 30)]
    if happens(rng, 0.5):
        prices.reverse()
    (a, b), (x, y) = sizes, (sizes[0] * prices[0], sizes[1] * prices[1])
    who = name(rng)
    text = framed(
        rng,
        (
            f"compare {a} {plural(item)} for {money(x)} with {b} for {money(y)} and name the cheaper offer per piece",
            f"tell {who} whether a pack of {a} {plural(item)} at {money(x)} or one of {b} at {money(y)} is better "
            "value",
        ),
        (
            f"which costs less per {item}, {a} for {money(x)} or {b} for {money(y)}",
            f"is it cheaper by the piece to buy {a} {plural(item)} for {money(x)} or {b} for {money(y)}",
        ),
    )
    best = a if prices[0] < prices[1] else b
    return Task(
        text,
        "",
        f"The pack of {a} costs {money(prices[0])} per {item} and the pack of {b} {money(prices[1])}, so the pack of "
        f"{best} is cheaper.",
    )


def _saving(rng: random.Random) -> Task:
    start, item = opening(rng), f"{choice(rng, QUALITIES)} {choice(rng, OBJECTS)}"
    weekly, price, had = integer(rng, 4, 45), integer(rng, 150, 990), integer(rng, 10, 90)
    weeks = -(-(price - had) // weekly)
    text = choice(
        rng,
        (
            f"{start.text} has ${had} and saves ${weekly} a week for {with_article(item)} costing ${price}. "
            f"After how many weeks is it enough?",
            f"{start.text} wants {with_article(item)} for ${price}, owns ${had} and puts aside ${weekly} weekly. "
            f"Find the number of weeks.",
        ),
    )
    return Task(
        text,
        "",
        f"${price} - ${had} = ${price - had} are missing, and {weeks} weeks at ${weekly} give ${weeks * weekly}, so it "
        f"takes {amount(weeks, 'week')}.",
    )


def _wage(rng: random.Random) -> Task:
    start, hours, rate = opening(rng), integer(rng, 6, 44), integer(rng, 11, 48)
    room, extra = place(rng), integer(rng, 10, 95)
    text = choice(
        rng,
        (
            f"{start.text} worked {hours} hours in the {room} for ${rate} an hour and a bonus of ${extra}. "
            f"What was the pay?",
            f"{start.text} earns ${rate} per hour and a fixed ${extra} for travel. Compute the pay for {hours} hours.",
            f"{start.text} was promised ${rate} an hour and ${extra} on top. How much are {hours} hours worth?",
        ),
    )
    return Task(text, "", f"{hours} x ${rate} + ${extra} = ${hours * rate} + ${extra} = ${hours * rate + extra}.")


def _price_rise(rng: random.Random) -> Task:
    item = things(rng)
    old, new = sample(rng, range(20, 400), 2)
    word = "rise" if new > old else "fall"
    percent = fixed(Fraction(100 * abs(new - old), old), 1)
    room = place(rng)
    text = framed(
        rng,
        (
            f"give the change in percent, to one decimal, when {item} go from ${old} to ${new}",
            f"compute by what percentage the rent of the {room} changes from ${old} to ${new}, with one decimal",
        ),
        (
            f"by how many percent, to one decimal, does a price change from ${old} to ${new}",
            f"if {item} cost ${old} last year and ${new} now, what is the change in percent, to one decimal",
        ),
    )
    return Task(text, "", f"The {word} is ${abs(new - old)}, and {abs(new - old)} / {old} x 100 is {percent}%.")


def _recipe_scaling(rng: random.Random) -> Task:
    pantry = (
        *(("grams", "flour"), ("grams", "sugar"), ("grams", "butter"), ("grams", "rice"), ("millilitres", "milk")),
        *(
            ("millilitres", "cream"),
            ("grams", "oats"),
            ("grams", "raisins"),
            ("millilitres", "stock"),
            ("grams", "peas"),
        ),
        *(
            ("grams", "lentils"),
            ("millilitres", "oil"),
            ("grams", "cheese"),
            ("grams", "spinach"),
            ("grams", "carrots"),
        ),
    )
    dish = choice(rng, ("soup", "cake", "stew", "pie", "pudding", "casserole", "salad", "curry", "gratin", "porridge"))
    parts, old = sample(rng, pantry, integer(rng, 3, 4)), integer(rng, 2, 6)
    new = old * integer(rng, 2, 5)
    each = [5 * integer(rng, 2, 40) for _ in parts]
    who = name(rng)
    text = framed(
        rng,
        (
            f"scale {who}'s {dish} recipe below from {old} to {new} servings",
            f"rewrite the amounts so that the {dish} feeds {new} people instead of {old}",
            f"adapt the ingredients of this {dish} for {old} to a table of {new}",
        ),
        (f"what amounts does the {dish} below need for {new} people rather than {old}",),
    )
    given = "\n".join(f"{old * x} {unit} of {what}" for x, (unit, what) in zip(each, parts, strict=True))
    done = "\n".join(f"{new * x} {unit} of {what}" for x, (unit, what) in zip(each, parts, strict=True))
    return Task(text, given, f"{capitalised(done)}")


FAMILIES = (
    Family("shopping_total", _shopping_total),
    Family("change", _change),
    Family("discount", _discount),
    Family("split_bill", _split_bill),
    Family("unit_price", _unit_price),
    Family("saving", _saving),
    Family("wage", _wage),
    Family("price_rise", _price_rise),
    Family("recipe_scaling", _recipe_scaling),
)
