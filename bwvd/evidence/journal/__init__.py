"""The journal: what happened to the device, signed, in files that are chained to each other.

`actor.JournalActor.put` takes an entry and never blocks; `journal.Journal` is the file below it, put in order after a
start or an error. `events.draft_of` says which of the daemon's events are entered, and in which words.
"""
