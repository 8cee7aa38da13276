"""Feedback: what the officer sees, feels and hears of the camera's state.

Start with `patterns`, the whole vocabulary as data, and `lamp_actor.run_feedback`, which shows events on indicators.
Between them: `event_patterns.Interpreter` says what an event means, `player.PatternPlayer` which level each indicator
has at a moment. `ports.Lamp` is what an adapter has to be: `led`, `haptic`, `tone`, over `sysfs`, `gpio_output` or
`evdev_output`; `indicators` makes those of a configuration.
"""
