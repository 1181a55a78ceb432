"""What one process of a run holds at its worst moment, part by part, in bytes.

The letters of the formulae: h hidden size, q and k the widths of queries and of keys (heads x size of a head), i the
intermediate size, v the vocabulary, b bytes of a number in the pass (2 in bf16, 4 in fp32), T tokens that are computed
at once, L layers.  The counts are of what PyTorch's autograd keeps for transformers' decoders; the tests hold them
against what is really kept.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from alpaca_cli.finetune.plan.architecture import Architecture
from alpaca_cli.recipe.finetune import FinetuneRecipe

MIB, GIB = 1 << 20, 1 << 30
BYTES = {"fp32": 4, "bf16": 2, "bf16_sr": 2}
FILLING = 1.12  # places for a token in attention that lays spans of like length side by side, as it does on a CPU
ROUNDED_AT_ONCE = (1 << 24) * 4 * 8  # eight fp32 copies of the block that the optimizer rounds stochastically
CUDA_CONTEXT = 900 * MIB  # the context, kernels and workspaces of a process; not measured here
NCCL_BUFFERS = 800 * MIB  # where there are several; not measured here
FRAGMENTED = 0.05  # of what comes and goes is lost between the blocks of the allocator; not measured here
CPU_PROCESS = 600 * MIB  # Python with PyTorch and transformers loaded
# Copies of i numbers that the feed-forward part keeps: without a gate, by the function in it; with one.
_UNGATED = {"relu": 1, "gelu_new": 5}
_UNGATED_OTHERS, _GATED, _GATED_COMPILED = 2, 4, 3


@dataclass(frozen=True)
class Load:
    """What one process computes at once."""

    tokens: int
    """T, those of a shared preamble once."""
    supervised: int
    """Positions that carry loss."""
    copies: int = 0
    """Places of keys and values that repeat a shared preamble, one for each token of it and example."""
    is_one_of_several: bool = False
    """Whether a step has several micro-batches, between which gradients are kept."""


@dataclass(frozen=True)
class Memory:
    """The bytes of one process on its device when it holds most."""

    weights: int
    gradients: int
    moments: int
    gathered: int
    """Weights of whole layers, in the numbers of the pass, while they are used."""
    activations: int
    loss: int
    """Logits, and the gradient of the output's matrix."""
    buffers: int
    """Gradients of whole layers on their way to the shards, and what the optimizer needs for a moment."""
    overhead: int
    """What is not PyTorch's: context, libraries, fragments."""

    @property
    def total(self) -> int:
        return sum(self.as_dict().values())

    @property
    def tensors(self) -> int:
        """What PyTorch counts as allocated."""
        return self.total - self.overhead

    def as_dict(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def device_memory(model: Architecture, recipe: FinetuneRecipe, load: Load, *, world: int) -> Memory:
    """What a process holds on its device (on a CPU: in host memory); `recipe` with device and checkpointing settled."""
    memory, precision, on_cpu = recipe.memory, recipe.precision, recipe.parallel.device == "cpu"
    b, shards = BYTES[precision.compute], world // recipe.parallel.replicate
    reduced = BYTES[precision.reduce]
    states = state_bytes(model, recipe, shards=shards)
    is_elsewhere = memory.offload == "cpu" and not on_cpu
    weights, gradients, moments = (0, 0, 0) if is_elsewhere else states
    layer, outer = model.layer_parameters, model.outer_parameters
    learnt_layer, learnt_outer = (adapter_parameters(model, recipe), 0) if recipe.method == "lora" else (layer, outer)

    # A weight that is whole and of the right type where it lies is used in place.
    is_in_place = shards == 1 and not is_elsewhere and b == weight_bytes(recipe)
    layers_at_once = (2 + (shards > 1)) if memory.reshard else model.layers
    gathered = 0 if is_in_place else b * (outer + min(layers_at_once, model.layers + 1) * layer)

    held = activation_bytes(model, recipe, load)
    head = model.vocab * model.embedding
    chunk = min(memory.loss_chunk, load.supervised) * model.vocab
    loss = chunk * (8 if b == 4 else 10) + 2 * load.supervised * model.hidden * b  # fp32 logits twice, and in b
    head_gradient = 0 if recipe.method == "lora" else head * b
    loss += 0 if recipe.method == "lora" else head * (4 + b)  # summed over chunks in fp32
    copies = 1 + (shards == 1)  # a gradient is copied on its way, twice where there is nobody to reduce it with
    layer_buffers = learnt_layer * (b + copies * reduced)
    outer_buffers = learnt_outer * (b + copies * reduced)
    in_flight = learnt_layer * reduced if shards > 1 else 0  # those of the layer before, while the next is computed
    if is_elsewhere:
        layer_buffers += 2 * layer * weight_bytes(recipe) // shards
    before = gradients if load.is_one_of_several else 0  # gradients that earlier micro-batches left

    def moment(gradients: int, activations: int, loss: int, buffers: int) -> Memory:
        comes_and_goes = gathered + activations + loss + buffers
        overhead = CPU_PROCESS if on_cpu else CUDA_CONTEXT + (NCCL_BUFFERS if world > 1 else 0)
        overhead += 0 if on_cpu else round(FRAGMENTED * comes_and_goes)
        return Memory(weights, gradients, moments, gathered, activations, loss, buffers, overhead)

    is_rounded = "bf16" in (precision.moments, precision.weights.removesuffix("_sr"))
    rounding = min(ROUNDED_AT_ONCE, 32 * max(head, model.hidden * model.intermediate) // shards) if is_rounded else 0
    going_back = learnt_layer * b  # a layer's whole gradients, until they are on their way
    moments_of_a_step = (
        moment(before, held.layers + held.ending, loss, 0),
        moment(before, held.layers + held.working, head_gradient, going_back),
        moment(before, held.layers - held.layer, head_gradient, layer_buffers + in_flight),
        moment(gradients, held.layer + held.working, head_gradient, going_back + in_flight),
        moment(gradients, 0, head_gradient, outer_buffers + in_flight),
        moment(gradients, 0, 0, 0 if is_elsewhere else rounding),
    )
    return max(moments_of_a_step, key=lambda each: each.total)


def state_bytes(model: Architecture, recipe: FinetuneRecipe, *, shards: int) -> tuple[int, int, int]:
    """Weights, gradients and moments in one of `shards` parts."""
    moment = 2 * BYTES[recipe.precision.moments]
    size = weight_bytes(recipe)
    if recipe.method == "lora":
        adapters = model.layers * adapter_parameters(model, recipe)
        frozen = model.num_parameters * size
        return (frozen + 4 * adapters) // shards, 4 * adapters // shards, moment * adapters // shards
    count = -(-model.num_parameters // shards)
    return count * size, count * size, count * moment


def weight_bytes(recipe: FinetuneRecipe) -> int:
    """Of one number of the model as it is kept: an adapter's base, which does not change, in that of the pass."""
    return BYTES[recipe.precision.compute if recipe.method == "lora" else recipe.precision.weights]


def adapter_parameters(model: Architecture, recipe: FinetuneRecipe) -> int:
    """Of the low-rank adapters of one layer: rank x (inputs + outputs) for each matrix that gets one."""
    return recipe.lora.rank * sum(inputs + outputs for inputs, outputs in _adapted(model, recipe))


@dataclass(frozen=True)
class Held:
    """What the backward pass needs of the forward pass, in bytes."""

    layers: int
    """Of all layers together."""
    layer: int
    """Of one of them."""
    ending: int
    """Of what comes after them; gone when the first layer is gone back through."""
    working: int
    """What comes up besides while a layer is gone back through."""


def activation_bytes(model: Architecture, recipe: FinetuneRecipe, load: Load) -> Held:
    """Of a forward pass over `load`."""
    b, h = BYTES[recipe.precision.compute], model.hidden
    mode = recipe.memory.activation_checkpointing
    whole = _layer_bytes(model, recipe, load, is_compiled=mode == "none" and recipe.compile == "layers")
    if mode == "none":
        layer, again = whole, 0
    elif mode == "selective":  # what the matrix products and attention gave
        widths = model.heads * model.head_dim, model.kv_heads * model.head_dim
        products = 2 * h + 2 * widths[0] + 2 * widths[1] + (1 + model.family.gated) * model.intermediate
        layer = load.tokens * (b * (h + products) + 4 * model.heads)
        again = whole - load.tokens * b * (h + widths[0] + (1 + model.family.gated) * model.intermediate)
    else:  # its input
        layer, again = load.tokens * b * h, whole - load.tokens * b * h
    everywhere = load.tokens * (16 + 2 * b * model.head_dim)  # positions and their angles
    ending = load.tokens * (b * h + _norm_bytes(model, b)[0])  # the last norm
    # Going back through the feed-forward part some of its copies, and its output's gradient, are new.
    new = load.tokens * b * ((1 + model.family.gated) * model.intermediate + 2 * h)
    return Held(model.layers * layer + everywhere, layer, ending, max(again, 0) + new)


def _layer_bytes(model: Architecture, recipe: FinetuneRecipe, load: Load, *, is_compiled: bool) -> int:
    """What the backward pass needs of one layer, if nothing is computed again."""
    b, h, family = BYTES[recipe.precision.compute], model.hidden, model.family
    norm, given = _norm_bytes(model, b)
    if is_compiled:
        norm, given = b * h + 4, b * h
    norms = 2 * given + family.norms * norm  # parallel norms of one input
    if recipe.method == "lora" and not family.layer_norm and not is_compiled:
        norms -= family.norms * b * h  # a frozen weight needs no scaled input
    if family.qk_norm and not is_compiled:
        norms += (4 + b) * (model.heads + model.kv_heads) * model.head_dim
    if family.gated:
        copies = _GATED_COMPILED if is_compiled else _GATED
    else:
        copies = min(_UNGATED.get(model.activation, _UNGATED_OTHERS), 2 if is_compiled else 9)
    feed_forward = copies * b * model.intermediate
    dropped = 2 * h * (1 if recipe.parallel.device == "cuda" else b) if model.has_dropout else 0
    low_rank = 0
    if recipe.method == "lora":
        adapted = _adapted(model, recipe)
        low_rank = len(adapted) * recipe.lora.rank * b
        low_rank += sum((b + 1) * inputs for inputs, _ in adapted) if recipe.lora.dropout else 0
    per_token = norms + feed_forward + dropped + low_rank + 4 * model.heads
    return load.tokens * per_token + _attention_bytes(model, recipe, load)


def _norm_bytes(model: Architecture, b: int) -> tuple[int, int]:
    """Of one norm and token: what it keeps of its input, and what the matrices after it keep."""
    h = model.hidden
    if model.family.layer_norm:
        return b * h + 8, b * h
    return 4 * h + 4 + b * h, b * h  # its input in fp32, and the same scaled


def _attention_bytes(model: Architecture, recipe: FinetuneRecipe, load: Load) -> int:
    """Queries, keys, values and what came of them.

    Spans laid side by side have filled places, and what comes of them lies once among these and once without; either
    way a shared preamble's keys and values lie before those of every example.
    """
    b = BYTES[recipe.precision.compute]
    q, k = model.heads * model.head_dim, model.kv_heads * model.head_dim
    if recipe.parallel.device == "cuda" and recipe.precision.compute == "bf16" and not model.has_dropout:
        return b * (load.tokens * 2 * q + (load.tokens + load.copies) * 2 * k)
    return round(b * (load.tokens * (1 + 2 * FILLING) * q + (FILLING * load.tokens + load.copies) * 2 * k))


def _adapted(model: Architecture, recipe: FinetuneRecipe) -> list[tuple[int, int]]:
    """Inputs and outputs of the matrices in a layer that get an adapter."""
    h, i = model.hidden, model.intermediate
    q, k = model.heads * model.head_dim, model.kv_heads * model.head_dim
    shapes = {"q_proj": (h, q), "k_proj": (h, k), "v_proj": (h, k), "o_proj": (q, h)}
    shapes |= {"gate_proj": (h, i)} if model.family.gated else {}
    shapes |= {"up_proj": (h, i), "down_proj": (i, h)}
    if not recipe.lora.targets:
        return list(shapes.values())
    return [shapes.get(name, (h, i)) for name in recipe.lora.targets]
