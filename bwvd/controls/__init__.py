"""Controls: what a hand or a program moves, turned into commands for the recorder.

Start with `ports`: `Contact` and `CommandLine` are what an adapter has to be, `Send` and `Report` what it is given.
`contact_actor.run_contact` serves a button or a switch (`gpio`, `input`, `modem_line`) through a reader of its
movements (`gesture`, `slide_switch`); `serial.run_serial` a text line; `socket.run_socket` the control socket, with
`client` as its other end; `signals.run_signals` the service manager and the terminal.

A control that is lost is a fault `control:NAME` and is opened again (`presence`). `discovery` lists what could be one.
"""
