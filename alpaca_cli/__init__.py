"""Alpaca: from seed tasks to an instruction-following model, one command a step."""

__version__ = "0.1.0"  # a literal: asking importlib.metadata costs 30 ms at every start
