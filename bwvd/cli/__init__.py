"""The command line: one file a command or a group of them, and what they share.

Start at `main`, which names every command and imports the file of the one that was asked for; `options` has what every
command does around its work (configuration, errors, exit codes), `printing` what it prints, `progress` the bars.
"""
