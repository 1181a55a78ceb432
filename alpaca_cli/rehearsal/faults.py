"""What goes wrong with real teachers' servers, by name: refusals in OpenAI's words, and answers that are none.

A fault is drawn by chance or called for by a script (`storm`).  Here is what each one is, and what its server says.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from alpaca_cli.rehearsal.protocol import ApiError, Question

FAULTS = {
    "rate_limit": "429 with retry-after",
    "rate_limit_bare": "429 that does not say how long to wait",
    "insufficient_quota": "429 that will not pass: the account is out of credit",
    "error_500": "500, the server failed",
    "error_502": "502, bad gateway",
    "error_503": "503, overloaded",
    "error_504": "504, a gateway gave up on work that was done, and is billed",
    "slow": "a good answer, after `slow_s`",
    "hang": "no answer until the client leaves, or until `hang_s`; the work is billed",
    "drop": "the connection is closed without an answer",
    "drop_after_work": "the connection is closed without the answer, which is billed",
    "torn_body": "the connection is closed in the middle of the answer, which is billed",
    "torn_json": "JSON cut in the middle, as a whole HTTP answer; billed",
    "empty_body": "200 with nothing in it; billed",
    "html": "200 with the web page of a proxy",
    "html_502": "502 with the web page of a proxy",
    "missing_choices": "200 with an answer without choices; billed",
    "missing_usage": "a good answer without `usage`",
    "null_usage": "a good answer whose `usage` is null",
    "truncated": "an answer cut in the middle of a task, with finish_reason length",
    "duplicates": "the list that this fault always gives",
    "refusal": "the model declines, in prose",
    "markdown": "headings and bold labels",
    "unsupported_parameter": "400 for a parameter of the request, which is refused from then on",
    "context_length": "400, prompt and answer are longer than the model's context",
    "content_filter": "400, the prompt was filtered, as at Azure",
    "content_filter_finish": "200 without a content, with finish_reason content_filter; the prompt is billed",
    "model_not_found": "404, no such model",
    "model_retired": "404, the model is no more",
    "wrong_key": "401, the key is wrong",
    "echo_key": "401 that repeats the key, as some servers do",
}
"""Every fault and what it is; unless said otherwise, errors are not billed and answers are."""
FATAL = ("insufficient_quota", "model_not_found", "model_retired", "wrong_key", "echo_key")
"""Faults after which asking again does not help."""
PASSING = tuple(name for name in FAULTS if name not in FATAL and name != "context_length")
"""Faults that a run can live through; `context_length` hangs on the request, and would come back each time."""

BATCH_FAULTS = {
    "create_500": "500 to its creation, and no batch",
    "lost_batch": "it is created, and the connection is closed without saying so",
    "token_limit": "it fails: too many tokens are enqueued",
    "expired": "it expires with half of its rows done",
    "cancelled": "it is cancelled with half of its rows done",
    "late_output": "its files are not named when it is first said to be completed",
    "poll_503": "503 to the first look at it",
    "download_502": "502 to the first download of its output",
}
"""What a whole batch can meet."""
UPLOAD_FAULTS = {"lost_upload": "the file is kept, and the connection is closed without saying so"}
ROW_FAULTS = (
    *("error_500", "error_503", "rate_limit", "content_filter", "content_filter_finish", "truncated", "duplicates"),
    *("refusal", "markdown", "missing_usage", "null_usage"),
)
"""The faults that a row of a batch can meet."""

OPTIONAL_PARAMETERS = (
    *("temperature", "top_p", "stop", "logit_bias", "reasoning_effort", "max_tokens", "max_completion_tokens"),
)
"""What `unsupported_parameter` may refuse."""
_LIMIT_NAMES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
SOME_PAUSE_S = 1
_QUOTA = "You exceeded your current quota, please check your plan and billing details."
_FAILURES = {
    "error_500": "The server had an error while processing your request. Sorry about that!",
    "error_502": "Bad gateway.",
    "error_503": "The server is overloaded or not ready yet.",
    "error_504": "Gateway timeout.",
}


def error_of(name: str, question: Question, *, key: str) -> ApiError | None:
    """The error that the fault `name` answers with, None if it answers with none; `key` is what the client sent."""
    if name in _FAILURES:
        return ApiError(int(name.removeprefix("error_")), _FAILURES[name])
    model = question.model
    match name:
        case "rate_limit" | "rate_limit_bare":
            pause = SOME_PAUSE_S if name == "rate_limit" else None
            return rate_limited(f"Rate limit reached for {model} on requests per min (RPM).", "requests", pause_s=pause)
        case "insufficient_quota":
            return ApiError(429, _QUOTA, code=name, kind=name)
        case "context_length":
            return too_long(question, question.num_prompt_tokens + (question.most_tokens or 0) - 1)
        case "content_filter":
            message = "The response was filtered because the prompt triggered the content management policy."
            return ApiError(400, message, param="prompt", code=name)
        case "model_not_found":
            message = f"The model `{model}` does not exist or you do not have access to it."
            return ApiError(404, message, code=name)
        case "model_retired":
            return ApiError(404, f"The model `{model}` has been deprecated.", code="model_not_found")
        case "wrong_key":
            return ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
        case "echo_key":
            return ApiError(401, f"Incorrect API key provided: {key}.", code="invalid_api_key")
    return None


def rate_limited(message: str, kind: str, *, pause_s: float | None) -> ApiError:
    """A 429 that passes; `kind` is what there were too many of, "requests" or "tokens"."""
    if pause_s is None:
        return ApiError(429, message, code="rate_limit_exceeded", kind=kind)
    milliseconds = max(1, math.ceil(pause_s * 1000))
    headers = {"retry-after": str(-(-milliseconds // 1000)), "retry-after-ms": str(milliseconds)}
    message = f"{message} Please try again in {duration(pause_s)}."
    return ApiError(429, message, code="rate_limit_exceeded", kind=kind, headers=headers)


def too_long(question: Question, most: int) -> ApiError:
    """What a question that needs more than `most` tokens of context is told."""
    asked, new = question.num_prompt_tokens, question.most_tokens or 0
    message = (
        f"This model's maximum context length is {most} tokens. However, you requested {asked + new} tokens "
        f"({asked} in the messages, {new} in the completion). Please reduce the length of the messages or completion."
    )
    return ApiError(400, message, param="messages" if question.chat else "prompt", code="context_length_exceeded")


def unsupported(name: str) -> ApiError:
    """What a request with a parameter that the model does not know is told."""
    other = _LIMIT_NAMES.get(name)
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    if other is not None:
        message += f" Use '{other}' instead."
    return ApiError(400, message, param=name, code="unsupported_parameter")


def parameter_to_refuse(question: Question, refused: Collection[str]) -> str | None:
    """Which parameter of the question the server may begin to refuse: never the last name of the limit of tokens."""
    for name in OPTIONAL_PARAMETERS:
        if name in question.parameters and name not in refused and _LIMIT_NAMES.get(name) not in refused:
            return name
    return None


def duration(seconds: float) -> str:
    """Seconds in the form of OpenAI's headers: "12ms", "1.5s", "6m0s", "1h2m0s"."""
    milliseconds = max(0, round(seconds * 1000))
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    whole, rest = divmod(milliseconds, 1000)
    minutes, whole = divmod(whole, 60)
    shown = f"{whole}.{rest:03d}".rstrip("0") if rest else str(whole)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{shown}s"
    return f"{minutes}m{shown}s" if minutes else f"{shown}s"
