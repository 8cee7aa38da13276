"""Virtual devices with every fault that we could name, and the suites that real ones are held against as well.

This part of the package is public: who adds a camera, a storage or a button to bwvd tests it with the same suites that
test ours. Everything here runs in virtual time (trio's `MockClock`), is determined by its arguments, its seeds and the
calls that are made, and needs neither pytest nor any other library for tests.

**Devices.** A test makes one, hands it to what it tests, and calls its faults while time goes on:

    camera.VirtualCamera            rate, GOP, B-frames, jitter, chance losses; stall, hold (late, then all at once),
                                    unplug, drop, corrupt, jump (its clock), change (anything, at the next opening),
                                    end, refuse
    rpicam_vid                      a program in the place of rpicam-vid, as a process: no camera, in use, silent, dies,
                                    hangs, floods, drops frames, loses a frame or its time; `script` writes it
    microphone.VirtualMicrophone    drift; drop, stall, restart, unplug, end
    flash.storage.VirtualVolume     capacity, short writes; fail (any errno at any operation), stall, read_only_from,
                                    power_cut_at, plant; `gate.latency` per operation, `gate.log` of all of them
    flash.storage.VirtualStorage    runs jobs on a volume, in virtual time
    flash.crash.crash_states        everything that may be on the medium after a power cut: every legal subset of what
                                    was not synced, torn sectors included
    contact.VirtualContact          press, bounce, chattering_press, storm, stick, lose (edges), unplug
    line.VirtualLine                noise, flood, damage (bits), stall, hang_up
    receiver.VirtualReceiver        by gpsd or on a line: lose_fix, jump, deceive (its clock), hush, delay, dribble,
                                    tear, noise, be_foreign (another release), hang_up
    clock.VirtualClock              step, drift, quality
    supply.VirtualSupply            drain, plug_in, set, flag, mute, wedge, unplug; `show` writes it as a tree of sysfs
    store.VirtualStore              capacity, latency_s; strike or every (lost answers, no answer, slow, refused, skewed
                                    clock, full, damaged, torn, wrong bytes, no lock, hostile listings); `objects` may
                                    be changed behind its back
    lamp.VirtualLamp                remembers what it showed; unplug
    process.Checkpoints             counts the checkpoints of all tasks; fail (raise) or call (cancel, …) at the nth

`clip` and `picture` make media whose frames carry numbers, so that a missing, doubled or reordered one is found.

**Suites.** Each module holds a `Subject`, which says how to reach the thing under test and how to disturb it, and
CHECKS, a tuple of functions that take a subject of their own each and raise AssertionError:

    conformance.source     MediaSource: VIDEO_CHECKS for cameras, SOUND_CHECKS for microphones
    conformance.storage    Volume: what is written is read, what is planted is not opened
    conformance.jobs       Storage: who runs the jobs
    conformance.contact    Contact: buttons and switches
    conformance.line       CommandLine and its port
    conformance.receiver   Receiver: where the camera is
    conformance.clock      Clock
    conformance.supply     what reads the power
    conformance.witness    Witness: who remembers the journal's head
    conformance.store      Store: objects that are put once
    conformance.lamp       Lamp: lights, motors, sounders

With pytest, for a camera of one's own:

    @pytest.mark.parametrize("check", conformance.source.VIDEO_CHECKS, ids=lambda check: check.__name__)
    def test_my_camera(check):
        clock = SystemClock()
        trio.run(check, conformance.source.Subject(lambda: MyCamera(clock), clock))

and without: `for check in VIDEO_CHECKS: trio.run(check, subject())`. A disturbance that the real thing can't be made to
suffer is None where the subject allows it, and what needs it is then not looked at.
"""
