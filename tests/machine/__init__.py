"""bwvd on a real kernel: a whole machine under QEMU, whose camera, buttons, card and power are the tests' to break."""
