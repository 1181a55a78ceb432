"""What may be written in a recipe for `alpaca generate`, with units."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from alpaca_cli.yamlfile import Settings

NotEmpty = Annotated[str, Field(min_length=1)]


def _check_variable_name(name: str) -> str:
    if not name.isidentifier():
        raise ValueError("expected the name of an environment variable")  # what was found may be the key itself
    return name


# Fields of a request that have a key of their own in the recipe, or that would change what an answer is or costs.
_OWN_FIELDS = frozenset(
    ["model", "messages", "prompt", "n", "best_of", "stream", "stop", "temperature", "top_p", "reasoning_effort"]
) | {"max_tokens", "max_completion_tokens", "service_tier", "tools", "web_search_options"}


class PriceSettings(Settings):
    """What a teacher costs, in USD per 1,000,000 tokens, where the shipped table does not know it or is out of date."""

    input: float = Field(ge=0)
    """Of the prompt."""
    output: float = Field(ge=0)
    """Of the answer, reasoning included."""
    cached_input: float | None = Field(default=None, ge=0)
    """Of the part of a prompt that the server had in its cache; null: as `input`."""
    batch_factor: float = Field(default=1, gt=0, le=1)
    """What the Batch API costs against this."""
    flex_factor: float = Field(default=1, gt=0, le=1)
    """What the flex tier costs against this."""


class TeacherSettings(Settings):
    """The model that writes new tasks, and how it is asked."""

    kind: Literal["openai", "rehearsal"] = "openai"
    """`openai`: any OpenAI-compatible server; `rehearsal`: the built-in offline one, which has no intelligence."""
    base_url: str | None = None
    """Where the API begins, for example http://localhost:8000/v1; null: OPENAI_BASE_URL, else OpenAI itself."""
    model: str | None = None
    """Name of the model as the server knows it.  Required unless the teacher is the rehearsal."""
    api: Literal["chat", "completions"] = "chat"
    """`chat`: /v1/chat/completions; `completions`: /v1/completions, for base models."""
    api_key_env: Annotated[str, AfterValidator(_check_variable_name)] = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key.  The key itself is never written anywhere."""
    max_tokens: int = Field(default=3072, ge=1)
    """Most new tokens of one completion."""
    max_tokens_name: Literal["max_completion_tokens", "max_tokens"] | None = None
    """Under which name the server takes it; null: `max_completion_tokens` for chat at OpenAI, else `max_tokens`."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Sampling temperature; null: not sent, the server's default."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Nucleus sampling; null: not sent, the server's default."""
    stop: tuple[NotEmpty, ...] = Field(default=(), max_length=4)
    """Texts that end a completion; at most 4.  Not sent when empty."""
    reasoning_effort: str | None = None
    """For reasoning models: none, minimal, low, medium, high; null: not sent."""
    extra_body: dict[str, object] = Field(default_factory=dict)
    """Further fields of the request as the server knows them, sent as they are."""
    tier: Literal["standard", "flex"] = "standard"
    """`flex`: half the price where the provider has it, slower, and refused when it is busy."""
    price: PriceSettings | None = None
    """null: from the shipped table, which knows the models of some providers."""
    timeout_s: float | None = Field(default=None, gt=0)
    """Seconds from sending a request to its whole answer, after which that try is given up; null: 300, flex: 900."""
    max_tries: int = Field(default=6, ge=1, le=100)
    """Tries of one request, for failures that may pass (5xx, connection, timeout); then it is left aside, or, if no
    other is answered either, the run stops.  A 429 counts only until the server has answered once."""
    longest_pause_s: float = Field(default=3600, ge=0)
    """Seconds that a server may ask to wait (Retry-After); if it asks for more, the run stops."""
    concurrency: int = Field(default=64, ge=1, le=1000)
    """Most requests under way at once; how many really are is found out from how the server answers."""

    @property
    def deadline_s(self) -> float:
        """Seconds from sending a request to its whole answer, after which that try is given up."""
        return self.timeout_s or (900 if self.tier == "flex" else 300)

    @field_validator("extra_body")
    @classmethod
    def check_extra_body(cls, extra: dict[str, object]) -> dict[str, object]:
        if ours := sorted(_OWN_FIELDS & extra.keys()):
            raise ValueError(f"{ours[0]}: set by alpaca itself, and must not be given here")
        return extra

    @model_validator(mode="after")
    def check_model(self) -> TeacherSettings:
        if self.kind == "openai" and not (self.model or "").strip():
            raise ValueError("model: required for an openai teacher; name one in the recipe or with --model")
        return self


class ServerSettings(Settings):
    """One of several servers that share a run's requests; what is null is as in `teacher`."""

    base_url: str
    """Where its API begins."""
    weight: float = Field(default=1, gt=0)
    """Its share of the requests against the others', as long as it has room for them."""
    model: str | None = None
    """Name of the model as this server knows it."""
    api_key_env: Annotated[str, AfterValidator(_check_variable_name)] | None = None
    """Name of the environment variable that holds its key."""
    concurrency: int | None = Field(default=None, ge=1, le=1000)
    """Most requests under way at once."""
    price: PriceSettings | None = None
    """What it costs."""


class PromptSettings(Settings):
    """The text that asks for new tasks."""

    file: str = Field(default="generate.txt", min_length=1)
    """A path, seen from the recipe's folder, or the name of a shipped prompt."""
    num_tasks: int = Field(default=20, ge=2, le=200)
    """How many tasks the list is to have, the shown ones included; for the text's field {num_tasks}."""
    num_seeds: int = Field(default=3, ge=1, le=50)
    """How many seed tasks are shown, drawn anew for each request."""

    @model_validator(mode="after")
    def check_room_for_new_tasks(self) -> PromptSettings:
        if self.num_seeds >= self.num_tasks:
            raise ValueError(f"num_seeds ({self.num_seeds}) leaves no task to ask for of num_tasks ({self.num_tasks})")
        return self


class RuleSettings(Settings):
    """Which tasks are refused.  The key of a rule is the reason under which it refuses; the first that does counts."""

    too_short: int = Field(default=4, ge=0)
    """Refuse an instruction of fewer words than this; 0: off.  (Original: 3 words or fewer.)"""
    too_long: int = Field(default=150, ge=0)
    """Refuse an instruction of more words than this; 0: off.  (Original.)"""
    unsuitable_word: tuple[NotEmpty, ...] = ()
    """Refuse an instruction that holds one of these as whole words, in any case.  (Original, with its own list.)"""
    write_a_program: bool = True
    """Refuse an instruction that opens with "Write a program".  (Original.)"""
    opens_with_punctuation: bool = True
    """Refuse an instruction whose first character is ASCII punctuation.  (Original.)"""
    opens_with_non_ascii: bool = True
    """Refuse an instruction whose first character is not ASCII; switch off for other languages.  (Original.)"""
    empty_output: bool = False
    """Refuse a task without an output."""
    no_output: bool = False
    """Refuse an output that says there is none: "No output", "<nooutput>", "N/A", "<noinput>"."""
    merged_tasks: bool = False
    """Refuse a text that holds the label of another task ("18. Instruction:")."""
    cut_ending: bool = False
    """Refuse an output that stops in the middle of a sentence, judged by a narrow rule that spares lists and code."""
    repeats_instruction: bool = False
    """Refuse an input that only repeats the instruction, or stands in it word for word (from 3 words on)."""
    repeats_input: bool = False
    """Refuse an output that is the input, unchanged."""
    asks_for_picture: bool = False
    """Refuse an instruction to make or look at something visual or audible, which a text model cannot."""
    attachment: bool = False
    """Refuse a task that refers to something attached or shown elsewhere."""
    url: bool = False
    """Refuse a task where a web address stands for a text that is not there: its content would be made up."""
    refusal: bool = False
    """Refuse an output in which the teacher declines ("As an AI ...", "I'm sorry, but I cannot ...")."""

    @model_validator(mode="after")
    def check_lengths(self) -> RuleSettings:
        if self.too_long and self.too_short > self.too_long:
            raise ValueError(f"too_short ({self.too_short}) and too_long ({self.too_long}) leave no length to accept")
        return self


class NoveltySettings(Settings):
    """A task is kept only if its instruction is new against the seeds and everything accepted so far."""

    threshold: float = Field(default=0.7, gt=0, le=1)
    """Refuse when ROUGE-L F is strictly over this; 1: everything is new."""
    tokenizer: Literal["rouge", "unicode"] = "rouge"
    """`rouge`: runs of a-z and 0-9, as rouge_score; `unicode`: words of any script."""


class GenerateRecipe(Settings):
    """A run of `alpaca generate`."""

    kind: Literal["generate"]
    """The command this recipe is for."""
    num: int | None = Field(default=None, ge=1)
    """How many accepted examples end the run; the flag --num goes before."""
    seed: int = 0
    """Seed of the random choice of seed tasks: request k depends on (seed, k) alone."""
    seeds: str = Field(default="seed_tasks.jsonl", min_length=1)
    """The seed tasks: a path, seen from the recipe's folder, or the name of a shipped file."""
    teacher: TeacherSettings = Field(default_factory=dict, validate_default=True)
    teachers: tuple[ServerSettings, ...] = ()
    """Several servers that share the requests, in place of `teacher.base_url`; each is otherwise as `teacher` says."""
    batch: bool = False
    """Ask by the Batch API: mostly half the price, and answers within a day."""
    prompt: PromptSettings = PromptSettings()
    rules: RuleSettings = RuleSettings()
    novelty: NoveltySettings = NoveltySettings()
    patience: int = Field(default=50, ge=1)
    """Completions in a row without one accepted task after which the run stops, since it would only cost."""
    breaker_s: float = Field(default=300, gt=0)
    """Seconds of failures without one answer after which the run stops; pauses that servers ask for are not counted."""
    max_cost: float | None = Field(default=None, gt=0)
    """USD that the whole run may cost, over all its processes: nothing is sent that might cross it; null: no limit."""
    max_requests: int | None = Field(default=None, ge=1)
    """Requests that the whole run may send, each try counted; null: no limit."""
    license: str | None = None
    """The licence of the dataset, for its card (for example cc-by-nc-4.0); it is never guessed."""

    @model_validator(mode="after")
    def check_servers(self) -> GenerateRecipe:
        if self.teachers and self.teacher.kind == "rehearsal":
            raise ValueError("teachers: the rehearsal teacher is one, built in; leave out teachers, or kind: rehearsal")
        return self

    @model_validator(mode="after")
    def check_batch(self) -> GenerateRecipe:
        if self.batch and self.teachers:
            raise ValueError("batch: a batch goes to one server; leave out batch, or teachers")
        if self.batch and self.teacher.tier == "flex":
            raise ValueError("batch: a batch is a tier of its own; leave out batch, or tier: flex")
        return self

    def servers(self) -> list[tuple[TeacherSettings, float]]:
        """Who is asked, and with which share: `teacher`, or each of `teachers`."""
        if not self.teachers:
            return [(self.teacher, 1.0)]
        found = []
        for server in self.teachers:
            own = {key: value for key, value in server if key != "weight" and value is not None}
            found.append((self.teacher.model_copy(update=own), server.weight))
        return found
