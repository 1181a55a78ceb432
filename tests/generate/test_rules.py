"""Every rule: what it refuses, the near misses that it spares, its switch, and the order of the reasons."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.data.example import Example
from alpaca_cli.data.shipped import shipped_dir
from alpaca_cli.generate import rules as rules_module
from alpaca_cli.generate.rules import RULES, holds_word, refuse
from alpaca_cli.recipe.generate import GenerateRecipe, RuleSettings
from alpaca_cli.recipe.load import load

DEFAULT = load(shipped_dir("recipes") / "generate.yaml", GenerateRecipe).rules
ALPACA_2023 = load(shipped_dir("recipes") / "generate_alpaca_2023.yaml", GenerateRecipe).rules
OFF = RuleSettings(
    too_short=0, too_long=0, write_a_program=False, opens_with_punctuation=False, opens_with_non_ascii=False
)
ON: dict[str, object] = {"too_short": 4, "too_long": 150, "unsuitable_word": ("image", "graph", "go to", "c++")}
GOOD = Example("Name a bird that swims.", "", "The penguin swims very well.")


def only(name: str) -> RuleSettings:
    """Settings with nothing but one rule on."""
    return OFF.model_copy(update={name: ON.get(name, True)})


def asked(*instructions: str) -> list[Example]:
    return [dataclasses.replace(GOOD, instruction=instruction) for instruction in instructions]


def given_(*inputs: str) -> list[Example]:
    return [dataclasses.replace(GOOD, input=text) for text in inputs]


def answered(*outputs: str) -> list[Example]:
    return [dataclasses.replace(GOOD, output=output) for output in outputs]


REFUSED: dict[str, list[Example]] = {
    "too_short": asked("Name birds now", "Why?", "Sing", "", "a-b c/d e"),
    "too_long": asked("word " * 151, "w\n" * 200, ("a b c d e " * 31).strip(), "Name " + "x " * 150),
    "unsuitable_word": asked(
        "Describe the image here.", "IMAGE of what?", "Now go to bed.", "A graph, please.", "Learn C++ today."
    ),
    "write_a_program": asked(
        "Write a program that adds.", "Write a program", "Write a programme note.", "Write a program: add"
    ),
    "opens_with_punctuation": asked(
        "- Name a bird.", "*Name* a bird.", '"Bird" means what?', "(Optional) Name a bird."
    ),
    "opens_with_non_ascii": asked("Élan means what here?", "写一首诗", "¿Qué hora es?", "– Name a bird."),
    "empty_output": answered("", " ", "\n\t", "\u00a0"),
    "no_output": answered(
        "<nooutput>",
        "No Output",
        "No output.",
        "no output required",
        "[No output needed]",
        "<noinput>",
        "No input",
        "N/A",
        "n/a.",
        "Not applicable",
        "...",
        "-",
        "<output>",
        "(none)",
        "<No output, cannot design a graphical user interface>",
        "<noinput>\n<output image>",
        "",
    ),
    "merged_tasks": [
        *answered(
            "Landscapes.\n##\n18. Instruction: Describe a cat.\n18. Input:\n<noinput>\n18. Output:\nFurry.",
            "Landscapes.\n\n**7. Instruction:** Describe a cat.",
            "Landscapes. ### 7. Instruction: Describe a cat.",
            "Landscapes.\n19) instruction : Describe a cat.",
            "Landscapes.\n6. Input:\n<noinput>\n6. Output:\nFurry.",
        ),
        *asked("Name a bird. 5. Instruction: Name a fish."),
        *given_("some notes\n5. Instruction: Name a fish."),
    ],
    "cut_ending": answered(
        "The vaccine was the first of its kind, being rolled out in December 20",
        "The price of gold is $1,942.85 per troy ounce as of August 10th, 20",
        "The data set holds yearly means of the gases from 1990 to 20",
        "It won every prize that there was to win in 20",
        "The heron stood by the pump and looked at the",
        "The heron stood by the pump all day long and",
        "The heron stood by the pump, looked at its long bill,",
        "```python\ndef f():\n    return",
        "Here you are:\n```\nx = 1\n```\nand then\n```\ny =",
    ),
    "repeats_instruction": [
        Example('Edit this sentence: "The ducks was noisy."', "The ducks was noisy.", "The ducks were noisy."),
        Example("Name a bird that swims.", "name a bird that swims", "Penguin"),
        Example("Translate to German: I am late.", "I am late.", "Ich bin spät dran."),
        Example("Sum up: the cat, the dog and the hen left.", "The cat, the dog, and the hen left!", "All left."),
        Example("Sort 3 1 2 4 5 by size.", "3, 1, 2, 4, 5", "1 2 3 4 5"),
        Example("Translate «Добрый день, мой друг»", "Добрый день, мой друг", "Good day, my friend"),
    ],
    "repeats_input": [
        Example("Correct the text.", "I am here.", "I am here."),
        Example("Correct the text.", " I am here.\n", "I am here."),
        Example("Sort these.", "A, B, C, D", "A, B, C, D\n"),
        Example("Rewrite it politely.", "Go!", "Go!"),
    ],
    "asks_for_picture": [
        *asked(
            "Design a logo for a travel site.",
            "Create an infographic about bees.",
            "Draw a cat on a mat.",
            "Please draw one apple.",
            "Sketch a comic strip of five panels.",
            "Generate an animated gif with an astronaut in it.",
            "Design a set of icons for a weather app.",
            "Create a design for a logo for a bakery.",
            "Describe the following photo in five sentences.",
            "What is happening in this picture?",
            "Summarize the data in the chart in three sentences.",
            "Name the creature in the photo.",
            "Look at the picture and tell a story.",
            "Watch the video and sum it up.",
            "Post a funny meme about cats.",
            "Show me a 3D visualization of a car.",
            "Redesign the following logo.",
            "Replace the last word with a funny gif.",
            "Add animations to a web page.",
            "Read the numbers and create a pie chart.",
            "Record an audio clip of the poem.",
            "Crop this image to a square.",
        ),
        *answered("Here is one:\n![a cat](https://example.com/cat.png)"),
        Example("Describe the following painting.", "https://example.com/a/b/c.jpg", "A woman leads a crowd."),
    ],
    "attachment": [
        *asked(
            "Sum up the attached report.",
            "See attached, and sum it up.",
            "Open the file and count its lines.",
            "Translate the PDF below.",
            "Find the mistakes in the spreadsheet provided.",
            "Click the link and buy it.",
            "List the names in this attachment.",
        ),
        *given_(
            "[Image of a logo]",
            "<link to flag>",
            "(Insert article)",
            "<NEWS ARTICLE>",
            "[Input: Link to article about data privacy]",
            "{insert your essay here}",
            "See attached.",
            "Attached file",
        ),
    ],
    "url": [
        *asked(
            "Sum up this article: https://example.com/a/b",
            "What does www.example.com sell?",
            "Rate example.com/shop from 1 to 10.",
            "Name the author of HTTP://EXAMPLE.ORG/X",
        ),
        *given_("https://example.com", "Website 1: www.example.com\nWebsite 2: www.example.net", "example.org/a.html"),
        *given_("![photo](https://example.com/a.jpg)"),
    ],
    "refusal": answered(
        "I'm sorry, but I can't assist with that request.",
        "I’m sorry, but I cannot view images.",
        "Sorry, I can't help with that.",
        "As an AI language model, I do not have personal opinions, but others do.",
        "As an AI, I cannot see the picture that you mention.",
        "Unfortunately, I am unable to access external websites.",
        "I cannot provide medical advice.",
        "I am not able to create an image of a cat.",
        "I apologize, but I cannot fulfill this request.",
        "This task cannot be performed by a GPT model as it requires creating a flow chart.",
        "I'm sorry, but there is no text provided.",
        "I don't have the ability to browse the internet.",
        "In short, as a large language model, I can't play the tune.",
    ),
}

SPARED: dict[str, list[Example]] = {
    "too_short": asked("Name four birds now", "Why is it so?", "a b c d", "Who, what, when, where"),
    "too_long": asked("word " * 150, "w\n" * 150, "Name a bird", "x" * 5000),
    "unsuitable_word": asked(
        "Use your imagination now.",
        "Draw a paragraph up.",
        "Forgo toast today.",
        "Imagery, graphs and C#.",
        "Learn C++14.",
    ),
    "write_a_program": asked(
        "Write a poem about it.", "write a program that adds.", "Please write a program.", "Rewrite a program for me."
    ),
    "opens_with_punctuation": asked(
        "Name a bird.", "3 birds are named where?", "x - y is what?", "“Bird” means what?", " - Name a bird."
    ),
    "opens_with_non_ascii": asked("Elan means what?", "Qué hora es?", "Name: 写一首诗", "3 µm is how much?"),
    "empty_output": answered("0", ".", "No", "\u200b"),
    "no_output": answered(
        "No.",
        "None of them is prime.",
        "None",
        "null",
        "No output is the best output, said the printer.",
        "Output",
        "😌😊",
        "+",
        ">",
        ".... . .-.. .-.. ---",
        "No element present in both lists.",
        "Output: 4",
        "[]",
        "0",
    ),
    "merged_tasks": [
        *answered(
            "1. Input: numbers come in.\n2. Processing: they are added.\n3. Output: the sum goes out.",
            "Instruction: add two numbers.\nInput: 1 2\nOutput: 3",
            "### Instruction:\nAdd.\n\n### Response:\n3",
            "3. Instructions: see page 18.",
            "Follow instruction 18: turn left.",
            '"""\nInput: amount\nOutput: interest\n"""',
        ),
        *asked("Write the input and output of step 5."),
    ],
    "cut_ending": answered(
        "The heron stood by the pump and looked at the water.",
        "The final score of the long match was 10 to 20",
        "You scored well in this hard test, with 15 out of 20",
        "The odds of this are rather small, about 1 in 20",
        "To halve it twice, divide 80 by 4 and you get 20",
        "Count aloud with me, slowly, all the way from 1 to 20",
        "In the dark I sat all night and only thought of her",
        "We sang of everything that we could ever hope to be",
        "Apples, pears and",
        "Roses,\nviolets,\nand other flowers of the",
        "```python\nfor bird in the:\n    fly(and_)\n```",
        "- milk and the\n- bread and a",
        "Driving the Economy Forward: A History of the Automobile Industry",
        "Take a break and look up! #stars #night #sky #the",
    ),
    "repeats_instruction": [
        Example("Edit this sentence.", "The ducks was noisy.", "The ducks were noisy."),
        Example("Name a bird.", "", "Robin"),
        Example("Explain the word art.", "art", "A craft."),
        Example("Describe the iPhone 11.", "iPhone 11", "A phone."),
        Example("Sum up what the smart is long run is.", "art is long", "Art lasts."),
    ],
    "repeats_input": [
        Example("Correct the text.", "I am her.", "I am here."),
        Example("Name a bird.", "", ""),
        Example("Shout it.", "go", "GO"),
        Example("Say it twice.", "go", "go go"),
    ],
    "asks_for_picture": [
        *asked(
            "Draw a conclusion from these results.",
            "Draw three lessons from the fable.",
            "Draw up a contract for two painters.",
            "Draw on your experience to answer.",
            "Draw a cat in ASCII art.",
            "Create a character sketch of a miller.",
            "Sketch out a plan for the weekend.",
            "Design a video game level in prose.",
            "Create a slogan for a video shop.",
            "Write a caption for a photo of a dog.",
            "Explain how to create a chart in a spreadsheet.",
            "Describe the use of color in infographic design.",
            "Build an image classifier step by step.",
            "Create a graph database schema for a library.",
            "Create a chart that compares cats and dogs.",
            "Create a chart of accounts for a bakery.",
            "Describe the painting The Starry Night.",
            "Generate five topic ideas for a podcast.",
            "Create an SVG icon of a house.",
            "Write Python code that draws a bar chart.",
            "Paint a picture of a market in words.",
            "Explain the role of logos in branding.",
            "What did the camera do to portrait painting?",
            "Design a program for drawing basic shapes.",
        ),
        Example("Give the photo below a title.", "Two people on a beach watch the sun go down.", "Last Light"),
        Example("Name the style of the following painting.", "A bowl of fruit on a wooden table", "Still life"),
        Example(
            "Create a chart of these ages.", "Ann 3, Bo 4", "| Name | Age |\n| --- | --- |\n| Ann | 3 |\n| Bo | 4 |"
        ),
    ],
    "attachment": [
        *asked(
            "Explain why children get attached to blankets.",
            "Describe attachment theory in two sentences.",
            "Are the earlobes attached to the head?",
            "What are the risks of email attachments?",
            "What does a file system do?",
            "Name three uses of a spreadsheet.",
            "Write a reply that thanks for the attached photographer's card.",
        ),
        *given_(
            "I have attached the report for you.",
            "[3, 1, 2]",
            "(see page 3)",
            "<b><IMG src='image.png'></b>",
            "[1] The file was lost. [2] It was found.",
            "{'file': 'a.txt'}",
        ),
        Example("Count the lines in the file below.", "name,age\nAnn,3\nBo,4\nCy,5\n" * 4, "16"),
        Example("Which row is newest in the CSV file provided?", "id,day " + "\n1,Monday" * 12, "The last"),
    ],
    "url": [
        *asked(
            "Explain what an address such as a URL is made of.",
            "Explain the parts of the URL https://example.com/a?b=c",
            "Write HTML for a link to https://example.com",
            "Is Amazon.com older than eBay?",
            "Write a regex that matches http:// and https://",
            "Ask ann@example.com for the key.",
        ),
        *given_("Mail ann@example.com", "version 1.2.com.3", "http is a protocol"),
        *given_("Dear all, " + "the meeting is moved to room four on Tuesday. " * 3 + "Details: https://example.com/x"),
        Example("Extract all links from the text.", "See www.example.com/links", "www.example.com/links"),
    ],
    "refusal": answered(
        "I'm sorry, but I can't come to the party on Friday.",
        "Sorry, I can't make it tonight.",
        "I'm sorry I missed your call.",
        "Unfortunately, I am unable to attend the meeting.",
        "I can't help falling in love with you.",
        "I cannot believe that it is over.",
        "I am afraid of heights.",
        "As an artificial satellite, Sputnik was the first.",
        "As an AI researcher, you need patience.",
        "As an AI assistant, you can answer mail.",
        "I'm sorry to hear that. It must be hard for you.",
        "This task is hard, but it can be performed.",
        "Teacher: I'm sorry, but I cannot accept late work.",
        "I can't see you any more, my dear.",
    ),
}


def cases(table: dict[str, list[Example]]) -> list[object]:
    return [pytest.param(name, example, id=name) for name, examples in table.items() for example in examples]


@pytest.mark.parametrize(("name", "example"), cases(REFUSED))
def test_a_rule_refuses(name: str, example: Example) -> None:
    assert refuse(example, only(name)) == name


@pytest.mark.parametrize(("name", "example"), cases(SPARED))
def test_a_rule_spares(name: str, example: Example) -> None:
    assert refuse(example, only(name)) is None


def test_every_rule_has_at_least_four_cases_of_each_kind() -> None:
    assert REFUSED.keys() == SPARED.keys() == RULES.keys()
    assert all(len(table[name]) >= 4 for table in (REFUSED, SPARED) for name in RULES)


def test_the_rules_are_the_settings_in_their_order() -> None:
    assert list(RULES) == list(RuleSettings.model_fields)


@pytest.mark.parametrize("name", RULES)
def test_each_switch_switches_its_rule_alone(name: str) -> None:
    everything = RuleSettings.model_validate(dict.fromkeys(RULES, True) | ON)
    for example in REFUSED[name]:
        assert refuse(example, OFF) is None
        off = {"too_short": 0, "too_long": 0, "unsuitable_word": ()}.get(name, False)
        assert refuse(example, everything.model_copy(update={name: off})) != name


@settings(deadline=None)
@given(data=st.data())
def test_the_first_rule_that_refuses_names_the_reason(data: st.DataObject) -> None:
    examples = [example for examples in REFUSED.values() for example in examples]
    parts = [data.draw(st.sampled_from(examples)) for _ in range(3)]
    example = Example(parts[0].instruction, parts[1].input, parts[2].output)
    chosen = data.draw(st.sets(st.sampled_from(sorted(RULES))))
    settings = OFF.model_copy(update={name: ON.get(name, True) for name in chosen})
    reasons = [name for name in RULES if name in chosen and refuse(example, only(name))]
    assert refuse(example, settings) == (reasons[0] if reasons else None)


def test_reasons_come_in_the_order_of_the_rules() -> None:
    example = Example("- Élan", "", "")
    settings = only("too_short").model_copy(update={"opens_with_punctuation": True, "empty_output": True})
    assert refuse(example, settings) == "too_short"
    assert refuse(example, settings.model_copy(update={"too_short": 0})) == "opens_with_punctuation"
    assert refuse(example, only("empty_output")) == "empty_output"
    assert refuse(example, only("no_output")) == "no_output"


def test_numbers_of_words_are_limits() -> None:
    assert [refuse(example, OFF.model_copy(update={"too_short": 2})) for example in asked("a", "a b")] == [
        "too_short",
        None,
    ]
    assert [refuse(example, OFF.model_copy(update={"too_long": 2})) for example in asked("a b", "a b c")] == [
        None,
        "too_long",
    ]


def test_the_list_of_2023_refuses_whole_words_only() -> None:
    for word in ALPACA_2023.unsuitable_word:
        whole = asked(f"Tell me of the {word} now.", f"{word.upper()}: tell me of it.", f"What is a {word}?")
        assert {refuse(example, ALPACA_2023) for example in whole} == {"unsuitable_word"}
        parts = asked(f"Tell me of the x{word} now.", f"Now say {word}ly to me.")
        assert {refuse(example, ALPACA_2023) for example in parts} == {None}


def test_the_rules_of_2023_are_the_six_of_the_original() -> None:
    first_six = list(RULES)[:6]
    assert [name for name in RULES if getattr(ALPACA_2023, name)] == first_six
    assert (ALPACA_2023.too_short, ALPACA_2023.too_long) == (4, 150)
    assert "go to" in ALPACA_2023.unsuitable_word and len(ALPACA_2023.unsuitable_word) == 18
    refused = {refuse(example, ALPACA_2023) for name in first_six for example in REFUSED[name][:1]}
    assert refused == set(first_six)
    assert refuse(asked("Please go to the shop.")[0], ALPACA_2023) == "unsuitable_word"
    assert refuse(answered("<nooutput>")[0], ALPACA_2023) is None


def test_the_default_recipe_asks_every_rule() -> None:
    assert all(getattr(DEFAULT, name) for name in RULES if name != "unsuitable_word")
    assert refuse(GOOD, DEFAULT) is None


def test_words_are_found_whole_in_any_case() -> None:
    assert holds_word("A Map.", ("map",))
    assert holds_word("We Go To school", ("map", "go to"))
    assert holds_word("C++ or C", ("c++",))
    assert not holds_word("Maps, remap, map_1", ("map",))
    assert not holds_word("anything", ())


# The letters ı, İ and ſ are i and s in any case, though not in lower case.
VERBS = [
    "Draw",
    "Make me",
    "Create",
    "Describe",
    "please label",
    "Click on",
    "open",
    "see",
    "Replace it in",
    "What is in",
]
KINDS = ["the", "a", "this", "the following", "an uploaded", "the biographical", "a bar", "the attached", "these"]
THINGS = ["Image", "images", "ımage", "İmage", "photo", "sketch", "ſketch", "flow chart", "audio clip", "art", "file"]
THINGS += ["link", "lınk", "attachment", "pdf", "spreadsheet", "painting style", "document"]
ENDS = [
    "",
    ".",
    " below",
    " above",
    " provided",
    " provıded",
    " given",
    " shown",
    " attached",
    " of Rome",
    " in a word",
]


@settings(deadline=None, max_examples=1000)
@given(*map(st.sampled_from, (VERBS, KINDS, THINGS, ENDS)), st.sampled_from(["", "Rome", "a b c d e f g h i j k l"]))
def test_a_quick_look_before_a_slow_search_changes_no_decision(
    verb: str, kind: str, thing: str, end: str, given_input: str
) -> None:
    instruction = f"{verb} {kind} {thing}{end}"
    example = Example(instruction, given_input, "Done.")
    quick = [RULES[name](example, DEFAULT) for name in ("asks_for_picture", "attachment")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules_module, "_A_VISIBLE", re.compile(""))
        patch.setattr(rules_module, "_may_hold", lambda *_: True)
        assert [RULES[name](example, DEFAULT) for name in ("asks_for_picture", "attachment")] == quick


@settings(deadline=None)
@given(st.builds(Example, st.text(max_size=80), st.text(max_size=80), st.text(max_size=80)))
def test_any_example_is_judged_without_an_error(example: Example) -> None:
    reason = refuse(example, DEFAULT)
    assert reason is None or reason in RULES
