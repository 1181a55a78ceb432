"""What may be written in a recipe for `alpaca finetune`, with units."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from alpaca_cli.yamlfile import Settings

NotEmpty = Annotated[str, Field(min_length=1)]


def _word(value: object) -> object:
    """YAML reads the bare words on and off as true and false."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


Word = BeforeValidator(_word)


class ModelSettings(Settings):
    """The base model, a folder in Hugging Face layout."""

    path: NotEmpty | None = None
    """Its folder, seen from the recipe's folder; the flag --model (seen from here) goes before.  One is required."""
    pad_token: Literal["add", "none"] = "none"
    """`add`: where the tokenizer has none, add `[PAD]`, its embedding rows the mean of the others (original: 32,000
    becomes 32,001); `none`: leave the vocabulary as it is.  Training pads nothing and needs no such token."""


class LoraSettings(Settings):
    """Low-rank adapters, for `method: lora`.  They are merged into the exported model."""

    rank: int = Field(default=16, ge=1)
    """Rank of each update."""
    alpha: float = Field(default=32, gt=0)
    """The update is scaled by alpha / rank."""
    dropout: float = Field(default=0, ge=0, lt=1)
    """Share of an adapter's inputs that are dropped."""
    targets: tuple[NotEmpty, ...] = ()
    """Names of the linear layers that get one (q_proj, ...); none given: every linear layer but the output."""


class DataSettings(Settings):
    """What is trained on."""

    path: NotEmpty | None = None
    """A dataset in any format that `alpaca format` knows, seen from the recipe's folder; the flag --data (seen from
    here) goes before.  One is required."""
    template: NotEmpty = "alpaca.yaml"
    """The training template: a path, seen from the recipe's folder, or the name of a shipped one."""
    max_tokens: int = Field(default=512, ge=2)
    """Longest example in tokens, prompt and response together."""
    overlong: Literal["truncate", "drop", "error"] = "truncate"
    """What is done with a longer one.  Truncated, it loses its end-of-sequence token too.  (Original: truncate.)"""
    skip_bad: bool = False
    """Leave malformed rows out and count them (28 or so of Stanford's 52,002 have an empty output); else they stop the
    run before it starts."""
    val_fraction: float = Field(default=0, ge=0, lt=1)
    """Share of the examples that is held out, chosen by `batch.seed`; its loss is told at the start, as
    `train.evaluate_every` says, and at the end."""


class BatchSettings(Settings):
    """Which examples make a step, and how they are laid out."""

    examples_per_step: int = Field(default=128, ge=1)
    """Examples of one optimizer step, over all processes, whatever their number."""
    tokens_per_microbatch: int | None = Field(default=None, ge=1)
    """Most tokens that one process computes at once; null: as the plan finds.  Changes rounding only."""
    order: Literal["shuffled", "sequential"] = "shuffled"
    """`shuffled`: each epoch in an order of its own, the one that PyTorch's DistributedSampler gives for `seed`."""
    seed: int = Field(default=42, ge=0)
    """Of the order, of what is held out, of dropout and of stochastic rounding."""


class TrainSettings(Settings):
    """The optimization: AdamW on the mean loss over all supervised tokens of a step."""

    epochs: float = Field(default=3, gt=0)
    """How often each example is seen."""
    max_steps: int | None = Field(default=None, ge=1)
    """End after so many steps, the schedule with them; null: as `epochs` says."""
    lr: float = Field(default=2e-5, gt=0)
    """Highest learning rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How it falls to 0 after warm-up, or that it does not."""
    warmup: float = Field(default=0.03, ge=0, lt=1)
    """Share of all steps in which it rises from 0."""
    weight_decay: float = Field(default=0, ge=0)
    """Decoupled, on every weight but biases and norms."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the first moment."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the second moment."""
    eps: float = Field(default=1e-8, gt=0)
    """Added to the root of the second moment."""
    grad_clip: float | None = Field(default=1.0, gt=0)
    """Largest norm of the whole gradient; null: no limit."""
    evaluate_every: int | None = Field(default=None, ge=1)
    """Steps between two looks at the held-out examples; null: only at the start and at the end."""


class PrecisionSettings(Settings):
    """In which numbers the work is done."""

    compute: Literal["bf16", "fp32"] = "bf16"
    """Of the forward and backward pass.  The loss is always fp32."""
    weights: Literal["fp32", "bf16_sr"] = "fp32"
    """Of the weights that the optimizer changes: `bf16_sr` halves them, and rounds each change stochastically."""
    moments: Literal["fp32", "bf16"] = "fp32"
    """Of the optimizer's two moments."""
    reduce: Literal["fp32", "bf16"] = "fp32"
    """In which gradients are summed over the processes."""
    tf32: bool = True
    """Let a GPU do fp32 matrix products in TF32.  (Original.)"""

    @model_validator(mode="after")
    def check_rounding(self) -> PrecisionSettings:
        if self.weights == "bf16_sr" and self.compute != "bf16":
            raise ValueError("weights: bf16_sr goes with compute: bf16 only")
        return self


class MemorySettings(Settings):
    """What is traded for memory.  None of it changes a result but for rounding."""

    activation_checkpointing: Literal["auto", "none", "selective", "full"] = "auto"
    """What the backward pass computes again: nothing, all but the matrix products, or whole layers; `auto`: the least
    that fits, as the plan finds."""
    offload: Literal["none", "cpu"] = "none"
    """`cpu`: weights, gradients and moments lie in host memory, and the optimizer works there."""
    reshard: bool = True
    """Give a layer's gathered weights back between forward and backward."""
    shared_preamble: Annotated[Literal["auto", "on", "off"], Word] = "auto"
    """Compute the words with which every prompt begins once for all examples of a micro-batch: the same loss and
    gradients from about a quarter fewer tokens; `auto`: off, as long as it is not measured to be faster."""
    loss_chunk: int = Field(default=2048, ge=1)
    """Supervised tokens whose logits exist at once."""


class ParallelSettings(Settings):
    """On how many processes the work lies, one to a GPU.  No part of the result depends on it but for rounding."""

    device: Literal["auto", "cuda", "cpu"] = "auto"
    """`auto`: GPUs where there are any."""
    processes: int | None = Field(default=None, ge=1)
    """On each node; null: one to a GPU, or one on a CPU."""
    nodes: int = Field(default=1, ge=1)
    """How many machines; the flags --nodes, --node-rank and --rdzv, or Slurm, say which is which."""
    replicate: int = Field(default=1, ge=1)
    """Copies of the sharded model (hybrid sharding); 1: it is sharded over all processes."""


class CheckpointSettings(Settings):
    """What is kept of a run on the way."""

    every: int = Field(default=200, ge=1)
    """Steps between two checkpoints."""
    keep: int = Field(default=1, ge=1)
    """How many complete ones are kept."""
    probe: bool = True
    """Save and export once before the first step, so that neither can fail for the first time after hours."""


class ExportSettings(Settings):
    """The model that comes out."""

    dtype: Literal["bf16", "fp16", "fp32"] = "bf16"
    """Of its weights."""
    max_shard_gb: float = Field(default=5, gt=0)
    """Size of one file, in 10^9 bytes."""


class LogSettings(Settings):
    """What is told besides the screen and `metrics.jsonl`."""

    trackers: tuple[NotEmpty, ...] = ()
    """Names of trackers that accelerate knows (tensorboard, wandb, mlflow, ...); none by default."""
    project: NotEmpty = "alpaca"
    """Under which name they file the run."""


class FinetuneRecipe(Settings):
    """A run of `alpaca finetune`."""

    kind: Literal["finetune"]
    """The command this recipe is for."""
    method: Literal["full", "lora"] = "full"
    """`full`: every weight is trained; `lora`: low-rank adapters are, for small cards."""
    model: ModelSettings = ModelSettings()
    lora: LoraSettings = LoraSettings()
    data: DataSettings = DataSettings()
    batch: BatchSettings = BatchSettings()
    train: TrainSettings = TrainSettings()
    precision: PrecisionSettings = PrecisionSettings()
    memory: MemorySettings = MemorySettings()
    compile: Annotated[Literal["auto", "layers", "off"], Word] = "auto"
    """Compile each layer (`layers`); `auto`: on a GPU."""
    parallel: ParallelSettings = ParallelSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    export: ExportSettings = ExportSettings()
    log: LogSettings = LogSettings()
    hang_timeout_s: float = Field(default=600, gt=0)
    """Seconds without progress of a process after which the run ends, with the stacks of all its threads in its log."""

    @model_validator(mode="after")
    def check_compiled(self) -> FinetuneRecipe:
        if self.compile == "layers" and self.memory.activation_checkpointing == "selective":
            raise ValueError("compile: layers goes with activation_checkpointing none or full, not selective")
        return self
