"""Where the camera is: fixes of a satellite receiver, by gpsd or straight from a serial line.

Begin with `fix`, what a fix is, and `watch`, which decides what is told of a run of them; both are pure. `gpsd` and
`nmea` are the two languages that receivers speak. What they say is somebody's word, by radio: it annotates, and nothing
waits for it.
"""
