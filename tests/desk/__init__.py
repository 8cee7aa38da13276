"""Tests of the desk: its list, its guard, its log, what it hands out."""
