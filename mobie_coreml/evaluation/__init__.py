"""Evaluation of editors on frames whose edited truth is known."""
