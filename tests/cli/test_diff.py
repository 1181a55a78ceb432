"""`alpaca diff` from argv to files."""

from __future__ import annotations

import filecmp
import json
import math
import os
import pty
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from alpaca_cli.cli import screen
from alpaca_cli.cli.diff_view import Meter, percent, sums_json
from alpaca_cli.diff.additive.sums import Sums
from alpaca_cli.diff.manifest import MANIFEST
from conftest import Outcome
from small_models import LAYERS, make_pair

Alpaca = Callable[..., Outcome]
FILES = ["config.json", "model.safetensors", "tokenizer.json"]
KINDS = [[], ["--kind", "additive"]]


@pytest.fixture
def pair(tmp_path: Path) -> None:
    """`base` and `tuned` in the working directory."""
    make_pair(tmp_path)


@pytest.fixture
def made(alpaca: Alpaca, pair: None) -> None:
    """`diff` and `added` too, an exact and an additive diff."""
    assert alpaca("diff", "make", "--base", "base", "--tuned", "tuned", "--out", "diff").code == 0
    made = alpaca("diff", "make", "--base", "base", "--tuned", "tuned", "--out", "added", "--kind", "additive")
    assert made.code == 0, made.err


def is_tuned(folder: str) -> bool:
    """Whether every file of a folder is the tuned model's, and none is missing."""
    same, _, _ = filecmp.cmpfiles("tuned", folder, FILES, shallow=False)
    return same == FILES == sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_there_and_back_by_the_commands_that_are_told(alpaca: Alpaca, pair: None, kind: list[str]) -> None:
    made = alpaca("diff", "make", "--base", "base", "--tuned", "tuned", "--out", "a diff", *kind)
    (next_command,) = [line for line in made.err.splitlines() if line.startswith("  recover ")]
    recovered = alpaca(*shlex.split(next_command)[2:])

    assert (made.code, made.out) == (0, "a diff\n"), made.err
    assert (recovered.code, recovered.out) == (0, "a diff-recovered\n"), recovered.err
    assert is_tuned("a diff-recovered")
    assert "bit for bit" in recovered.err


def test_what_was_made_is_told(alpaca: Alpaca, pair: None) -> None:
    Path("tuned/loss.data").write_text("1")
    made = alpaca("diff", "make", "--base", "base", "--tuned", "tuned", "--out", "diff", "--json")

    told = made.json
    size = sum(path.stat().st_size for path in Path("diff").glob("*.alpacadiff")) - 16  # of the file's own head
    assert told["bytes"] == size
    assert told["share"] == pytest.approx(size / told["tuned"]["bytes"])
    assert told["tuned"]["bytes"] == 2 * told["tuned"]["values"]
    assert told["tensors"] == {"all": 30, "changed": 23, "unchanged": 7, "whole": 0, "repeated": 0}
    assert told["rows"]["lm_head.weight"] == {"base": 60, "tuned": 61}
    assert told["files"] == ["config.json", "tokenizer.json"]
    assert told["left_out"] == ["loss.data"]
    assert told["notes"] == ["not part of the model, left out: loss.data"]
    assert told["digest"] == json.loads(Path("diff", MANIFEST).read_text())["digest"]
    for words in ("23 changed, 7 unchanged", f"{told['share']:.1%} of the tuned weights", told["digest"], "left out"):
        assert words in made.err, words


def test_the_sum_that_an_additive_diff_tells_is_the_one_that_recovering_expects(alpaca: Alpaca, pair: None) -> None:
    make = ["diff", "make", "--base", "base", "--tuned", "tuned", "--out", "diff", "--kind", "additive", "--json"]
    told = alpaca(*make).json
    recover = ["diff", "recover", "--base", "base", "--diff", "diff"]
    other = alpaca(*recover, "--out", "other", "--expect-sum", told["sum"]["plain"] + 1)
    right = alpaca(*recover, "--out", "right", "--expect-sum", told["sum"]["with_rotary"], "--json")

    assert (other.code, Path("other").exists()) == (5, False)
    assert "expected" in other.err
    assert (right.code, right.json["is_proven"], right.json["unequal"]) == (0, True, 0)
    assert right.json["sum"] == told["sum"]
    assert told["unequal"] == 0


@pytest.mark.parametrize(("folder", "kind"), [("diff", "exact"), ("added", "additive")])
def test_recover_and_verify_find_the_kind_out(alpaca: Alpaca, made: None, folder: str, kind: str) -> None:
    recovered = alpaca("diff", "recover", "--base", "base", "--diff", folder, "--out", "out", "--json")
    verified = alpaca("diff", "verify", folder, "--base", "base", "--tuned", "out", "--json")

    assert is_tuned("out")
    assert (recovered.json["kind"], recovered.json["is_proven"], recovered.json["tensors"]) == (kind, True, 30)
    assert recovered.json["digest"] == verified.json["digest"]
    assert (verified.json["kind"], verified.json["base"], verified.json["tuned"]) == (kind, "base", "out")
    assert f"this {kind} diff of tuned is whole" in verified.err


def test_a_diff_of_others_is_added_and_nothing_is_promised(alpaca: Alpaca, made: None) -> None:
    Path("added", MANIFEST).unlink()
    shutil.rmtree("added/model")
    recovered = alpaca("diff", "recover", "--base", "base", "--diff", "added", "--out", "out", "--json")
    shown = alpaca("diff", "show", "added")
    verified = alpaca("diff", "verify", "added")

    assert (recovered.code, recovered.json["is_proven"], recovered.json["digest"]) == (0, False, None)
    assert "proved by nothing" in recovered.err
    assert shown.out.startswith("added: a model folder; if a diff, then an additive one that others made\n")
    assert (verified.code, "no alpaca_diff.json" in verified.err) == (2, True)


def test_another_type_is_told_and_promises_no_bits(alpaca: Alpaca, made: None) -> None:
    run = alpaca("diff", "recover", "--base", "base", "--diff", "added", "--out", "out", "--dtype", "fp32")

    assert run.code == 0
    assert "added up in another type than the tuned model's" in run.err
    assert "bit for bit" not in run.err


def test_one_row_without_a_word_of_what_it_was_told_from(alpaca: Alpaca, tmp_path: Path) -> None:
    make_pair(tmp_path, num_new_rows=2)
    alpaca("diff", "make", "--base", "base", "--tuned", "tuned", "--out", "added", "--kind", "additive")
    Path("added", MANIFEST).unlink()
    recover = ["diff", "recover", "--base", "base", "--diff", "added", "--out", "out"]
    refused = alpaca(*recover)

    assert (refused.code, Path("out").exists()) == (2, False)
    assert "--new-rows mean" in refused.err
    assert alpaca(*recover, "--new-rows", "mean").code == 0
    assert filecmp.cmp("out/model.safetensors", "added/model.safetensors", shallow=False) is False


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dtype", "bf16"], "diff: --dtype is for additive diffs"),
        (["--new-rows", "zero"], "diff: --new-rows is for additive diffs"),
        (["--expect-sum", "0"], "diff: --expect-sum is for additive diffs"),
        (["--dtype", "fp8"], "--dtype: no such dtype: fp8"),
        (["--new-rows", "one"], "--new-rows: no such new-rows: one"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_recover_refuses_what_does_not_fit(alpaca: Alpaca, made: None, flags: list[str], message: str) -> None:
    run = alpaca("diff", "recover", "--base", "base", "--diff", "diff", "--out", "out", *flags)

    assert (run.code, Path("out").exists()) == (2, False)
    assert message in run.err


@pytest.mark.parametrize(
    ("flags", "message", "hint"),
    [
        (["--dtype", "bf16"], "--dtype is for additive diffs", "--kind additive"),
        (["--kind", "xor"], "--kind: no such kind: xor", "choose exact or additive"),
        (["--kind", "additive", "--dtype", "F32"], "--dtype: no such dtype: F32", "choose fp32 or bf16 or fp16"),
        (["--base", "huggyllama/llama-7b"], "no such folder", "hf download huggyllama/llama-7b --local-dir DIR"),
        (["--tuned", "some/model"], "folder of the tuned model", "hf download some/model --local-dir DIR"),
        (["--out", "base"], "base and output are the same folder", "give each a folder of its own"),
        (["--out", "tuned/diff"], "the output lies in the folder of the tuned model", "a folder of its own"),
        (["--out", "taken"], "output exists", "nothing is ever overwritten or deleted: name a new folder"),
        (["--tuned", "strange"], "have no counterpart in the base", "--allow-whole"),
    ],
)
def test_make_refuses_and_writes_nothing(alpaca: Alpaca, pair: None, flags: list[str], message: str, hint: str) -> None:
    Path("taken").write_text("mine")
    shutil.copytree("tuned", "strange")
    raw = Path("strange/model.safetensors").read_bytes()
    Path("strange/model.safetensors").write_bytes(raw.replace(b"self_attn", b"selfishly"))
    before = sorted(Path().rglob("*"))
    run = alpaca("diff", "make", "--base", "base", "--tuned", "tuned", "--out", "diff", *flags)

    assert run.code == 2
    assert message in run.err
    assert hint in run.err
    assert sorted(Path().rglob("*")) == before
    assert Path("taken").read_text() == "mine"


@pytest.mark.parametrize("command", ["verify", "show", "recover"])
@pytest.mark.parametrize(
    ("folder", "message", "hint"),
    [
        ("tatsu-lab/alpaca-7b-wdiff", "expected the folder of the diff, no such", "hf download tatsu-lab/alpaca-7b-w"),
        ("empty", "no weights in the folder of the diff", "name a folder"),
        ("headless", "the manifest of this diff, alpaca_diff.json, is missing", "download it again"),
    ],
)
def test_what_is_no_diff_is_told(
    alpaca: Alpaca, made: None, command: str, folder: str, message: str, hint: str
) -> None:
    Path("empty").mkdir()
    shutil.copytree("diff", "headless")
    Path("headless", MANIFEST).unlink()
    words = [folder] if command != "recover" else ["--base", "base", "--diff", folder, "--out", "out"]
    run = alpaca("diff", command, *words, "--json")

    assert (run.code, run.json["error"]["kind"]) == (2, "UsageError")
    (problem,) = run.json["error"]["problems"]
    assert message in problem["message"]
    assert hint in problem["hint"]


@pytest.mark.parametrize("folder", ["diff", "added"])
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("", "as it was made"),
        ("--base", "23 of 30 tensors differ (model.embed_tokens.weight and 22 more): this is not the base"),
        ("--tuned", "23 of 30 tensors differ (model.embed_tokens.weight and 22 more): this is not the model"),
    ],
)
def test_verify_finds_what_is_wrong(alpaca: Alpaca, made: None, folder: str, flag: str, message: str) -> None:
    if flag:
        make_pair(Path("other"), num_new_rows=0)
        words = [flag, f"other/{'base' if flag == '--tuned' else 'tuned'}"]
    else:
        words = []
        (path,) = [*Path(folder).glob("*.alpacadiff"), *Path(folder).glob("*.safetensors")]
        raw = bytearray(path.read_bytes())
        raw[-5] ^= 1
        path.write_bytes(raw)
    run = alpaca("diff", "verify", folder, *words)

    assert (run.code, run.out) == (5, "")
    assert message in run.err


def test_show_tells_every_layer_and_kind(alpaca: Alpaca, made: None) -> None:
    run = alpaca("diff", "show", "diff")
    told = alpaca("diff", "show", "diff", "--json").json

    parts = ["embed_tokens", *(f"layer {number}" for number in range(LAYERS)), "norm", "lm_head"]
    kinds = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    assert [part["name"] for part in told["parts"]] == parts
    assert [kind["name"] for kind in told["kinds"]][:7] == kinds
    assert sum(part["diff_bytes"] for part in told["parts"]) == told["bytes"]
    assert sum(part["values"] for part in told["parts"]) == told["tuned"]["values"]
    lines = run.out.splitlines()
    assert lines[0] == "exact diff of tuned, from base"
    assert [line.split("  ")[0] for line in lines if line.startswith((*parts, *kinds))] == parts + kinds
    (norm,) = [line.split() for line in lines if line.startswith("norm ")]
    assert norm[1:3] == ["32", "0%"]
    assert (run.code, run.err) == (0, "")


def test_a_long_model_is_folded_on_a_terminal_only(
    alpaca: Alpaca, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pair(tmp_path, num_layers=20)
    alpaca("diff", "make", "--base", "base", "--tuned", "tuned", "--out", "diff")
    whole = alpaca("diff", "show", "diff").out
    monkeypatch.setattr(screen, "emits_to_terminal", lambda: True)
    folded = alpaca("diff", "show", "diff").out

    layers = [
        [line[:11].strip() for line in text.splitlines() if line.startswith("layer ")] for text in (whole, folded)
    ]
    assert layers[0] == [f"layer {number}" for number in range(20)]
    assert layers[1] == [f"layer {number}-{number + 1}" for number in range(0, 20, 2)]
    assert all(len(line) <= 80 for line in folded.partition("\npart ")[2].splitlines())


def test_show_of_an_additive_diff(alpaca: Alpaca, made: None) -> None:
    told = alpaca("diff", "show", "added", "--json").json

    assert (told["kind"], told["share"]) == ("additive", 2.0)
    assert (told["changed_share"], told["tensors"]["changed"]) == (pytest.approx(0.95, abs=0.05), 23)
    assert "200.0%" in alpaca("diff", "show", "added").out


def test_show_needs_the_manifest_only(alpaca: Alpaca, made: None) -> None:
    whole = alpaca("diff", "show", "diff").out
    for path in Path("diff").glob("*.alpacadiff"):
        path.unlink()

    assert alpaca("diff", "show", "diff").out == whole


def test_a_figure_is_drawn_and_not_overwritten_unasked(alpaca: Alpaca, made: None) -> None:
    drawn = alpaca("diff", "show", "diff", "--figure", "changed.png", "--json")
    again = alpaca("diff", "show", "diff", "--figure", "changed.png")
    forced = alpaca("diff", "show", "diff", "--figure", "changed.png", "--force")

    assert (drawn.code, drawn.json["figure"]) == (0, "changed.png")
    assert Path("changed.png").read_bytes()[:4] == b"\x89PNG"
    assert (again.code, again.out, "--force" in again.err) == (2, "", True)
    assert (forced.code, forced.err) == (0, "figure: changed.png\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--figure", "changed.gif"], "expected a name that ends in .png, .svg, .pdf"),
        (["--figure", "tuned/config.json/changed.png"], "cannot write"),
        (["--force"], "--force is for --figure"),
    ],
)
def test_a_figure_that_cannot_be(alpaca: Alpaca, made: None, flags: list[str], message: str) -> None:
    run = alpaca("diff", "show", "diff", *flags)

    assert (run.code, run.out) == (2, "")
    assert message in run.err


def test_without_a_command_there_is_help(alpaca: Alpaca) -> None:
    run = alpaca("diff")

    assert run.code == 2
    assert run.err.startswith("Usage: alpaca diff ")
    for line in (
        "make     Write what turns a base into a tuned model.",
        "recover  Give the tuned model back.",
        "verify   Prove that a diff is whole.",
        "show     Tell what changed, layer by layer.",
    ):
        assert line in run.err


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("make", ["base", "tuned", "out", "kind", "dtype", "allow-whole", "workers", "json", "help"]),
        ("recover", ["base", "diff", "out", "dtype", "new-rows", "expect-sum", "workers", "json", "help"]),
        ("verify", ["base", "tuned", "workers", "json", "help"]),
        ("show", ["figure", "force", "json", "help"]),
    ],
)
def test_the_flags_are_these(alpaca: Alpaca, command: str, flags: list[str]) -> None:
    text = alpaca("diff", command, "--help").out
    options = [line.split("--")[1].split(" ")[0] for line in text.splitlines() if line.startswith("  -")]

    assert options == flags


def test_the_examples_of_the_help_are_command_lines(alpaca: Alpaca, made: None) -> None:
    """With the names put in that exist here."""
    names = {"make": {"llama-7b": "base", "alpaca-7b": "tuned", "my-diff": "new"}}
    later = {"llama-7b": "base", "alpaca-7b": "back", "my-diff": "new"}
    for command in ("make", "recover", "verify", "show"):
        (line,) = [line for line in alpaca("diff", command, "--help").out.splitlines() if "Example: alpaca " in line]
        words = shlex.split(line.partition("Example: alpaca ")[2])
        run = alpaca(*(names.get(command, later).get(word, word) for word in words))
        assert run.code == 0, (words, run.err)
    assert is_tuned("back")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("make", "diff make: interrupted, and nothing is left; the same command starts over"),
        ("recover", "diff recover: interrupted; the same command goes on with the file it was at"),
    ],
)
def test_ctrl_c_leaves_one_line_and_nothing_under_the_name(made: None, command: str, says: str) -> None:
    code = """
import os, signal, sys, time
from alpaca_cli.cli import app
from alpaca_cli.diff import crew
add = crew.Progress.add
def stopped(self, num_bytes):
    os.kill(os.getpid(), signal.SIGINT)
    while not self.is_stopped:
        time.sleep(0.01)
    add(self, num_bytes)
crew.Progress.add = stopped
sys.exit(app.main(sys.argv[1:]))
"""
    given = {"make": ["--tuned", "tuned"], "recover": ["--diff", "diff"]}[command]
    words = ["diff", command, "--base", "base", *given, "--out", "out", "--workers", "1"]
    run = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, timeout=60)

    assert (run.returncode, run.stdout, run.stderr) == (130, "", says + "\n")
    assert not Path("out").exists()
    assert command == "recover" or not [path for path in Path().iterdir() if "out" in path.name]


def test_on_a_terminal_there_is_a_bar_with_rate_and_time_left(made: None) -> None:
    code = """
import sys, time
from alpaca_cli.cli import app, diff_view
from alpaca_cli.diff import crew
diff_view.EVERY_S = 0.0
add = crew.Progress.add
def slowly(self, num_bytes):
    time.sleep(0.01)
    add(self, num_bytes)
crew.Progress.add = slowly
sys.exit(app.main(sys.argv[1:]))
"""
    words = ["diff", "recover", "--base", "base", "--diff", "diff", "--out", "out"]
    above, below = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-c", code, *words], stderr=below, stdout=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
    )  # fmt: skip
    os.close(below)
    talk = b""
    with suppress(OSError):  # EIO: the other end is closed
        while block := os.read(above, 65536):
            talk += block
    os.close(above)
    out, _ = run.communicate(timeout=60)

    text = talk.decode()
    assert (run.returncode, out) == (0, b"out\n"), text
    assert "  recover  ━" in text
    assert " left" in text and "kB/s, " in text


def test_the_meter_tells_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(screen, "LINE_EVERY_S", 0.0)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Meter() as meter:
        for second in (1, 2, 2, 4):
            now[0] = 1000.0 + second
            meter.show("diff", second * 1_000_000_000, 8_000_000_000)
        now[0] += 0.5
        meter.show("verify", 1, 4)
        now[0] += 5

    assert meter.seconds == 9.5
    assert capsys.readouterr().err.splitlines() == [
        "diff: 1.00 GB of 8.00 GB (12%), 1.00 GB/s, 7 s left",
        "diff: 2.00 GB of 8.00 GB (25%), 1.00 GB/s, 6 s left",
        "diff: 4.00 GB of 8.00 GB (50%), 1.00 GB/s, 4 s left",
        "verify: 1 bytes of 4 bytes (25%), 2 bytes/s, 2 s left",
    ]


def test_percentages_are_0_and_100_only_where_they_are() -> None:
    shares = (0.0, 1e-9, 0.0004, 0.0005, 0.1234, 0.9994, 0.99951, 1.0, 2.0, None)

    assert [percent(share) for share in shares] == [
        "0%", "<0.1%", "<0.1%", "0.1%", "12.3%", "99.9%", ">99.9%", "100%", "200.0%", "-",
    ]  # fmt: skip


def test_a_file_that_is_there_from_before_is_told(alpaca: Alpaca, made: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    recover = ["diff", "recover", "--base", "base", "--diff", "diff", "--out", "out"]
    with monkeypatch.context() as patch:
        patch.setattr("alpaca_cli.diff.folders._publish", killed)
        stopped = alpaca(*recover)
    again = alpaca(*recover, "--json")

    assert stopped.code == 130
    assert (again.code, again.json["kept"]) == (0, 1)
    assert "1 of them there from before" in again.err
    assert is_tuned("out")


def test_a_sum_that_is_no_number_is_none_in_json() -> None:
    assert sums_json(Sums(math.nan, math.inf, 0.0)) == {"plain": None, "with_rotary": None}
    assert sums_json(Sums(1.5, None, 0.0)) == {"plain": 1.5, "with_rotary": None}
