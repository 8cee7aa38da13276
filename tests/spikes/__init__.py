"""Experiments whose findings stand in bwvd/docs: run again by whoever doubts a figure, part of no product."""
