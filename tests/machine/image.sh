#!/usr/bin/env bash
# Build the Debian 12 machine that the tests of this folder run on: its kernel, its initramfs, its root disk.
#
#   image.sh FOLDER [clean]     what is built goes to FOLDER; clean: forget the tree that it is made from (1.5 GiB)
#
# Each step leaves the digest of what it was made from and is done again, with all that follow, when that has changed.
# Debian's mirror and pip's index are those of this machine's own settings, while building; none is left in the image.
# Needs root, debootstrap and e2fsprogs, and a kernel that lets it mount, chroot and make device nodes.
set -euo pipefail
shopt -s nullglob

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
folder=${1:?where to}
mkdir -p "$folder/stamps"
folder=$(cd -- "$folder" && pwd)
suite=bookworm
root=$folder/root       # the machine's tree
builder=$folder/builder # an overlay on it, with a compiler
wheels=$folder/wheels
python=${PYTHON:-python3} # with pip
root_mib=3072

# What it carries besides Debian's base. python3-venv is what bwvd/docs/install.md asks for; the rest is for looking, and for breaking things.
packages=(linux-image-amd64 initramfs-tools kmod dbus udev openssh-server sudo iproute2 procps psmisc jq xxd socat
    util-linux-extra e2fsprogs f2fs-tools dosfstools python3 python3-venv v4l-utils alsa-utils libasound2-data libturbojpeg0
    python3-evdev age tzdata)

# What the kernel has to have.
modules=(vivid gpio-sim v4l2loopback snd-aloop softdog i6300esb uinput f2fs virtio_blk)

inside() { # TREE COMMAND…: run it in the tree
    chroot "$1" /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        DEBIAN_FRONTEND=noninteractive "${@:2}"
}

host_sources() { # this machine's Debian mirrors, whatever form they are written in
    local file
    for file in /etc/apt/sources.list.d/*.sources; do
        awk -v suite="$suite" '
            function out(  n, i, each) {
                n = split(suites, each, " ")
                for (i = 1; i <= n; i++) if (uri != "" && index(each[i], suite) == 1) print "deb", uri, each[i], "main"
                uri = suites = ""
            }
            /^URIs:/ {uri = $2} /^Suites:/ {sub(/^Suites: */, ""); suites = $0} /^$/ {out()} END {out()}' "$file"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -e "$file" ] || grep -E "^deb .*[ /]$suite" "$file" | grep -v '^deb \[.*signed-by' || true
    done
}

net_on() { # let apt in a tree reach the mirrors, for as long as it is built
    local tree=$1 lines
    lines=$(host_sources)
    if [ -n "$lines" ]; then printf '%s\n' "$lines" >"$tree/etc/apt/sources.list"; fi # else debootstrap's own
    cp -L /etc/resolv.conf /etc/hosts "$tree/etc/"
    printf '%s\n' 'Acquire::Languages "none";' 'APT::Install-Recommends "false";' 'Acquire::Check-Date "false";' \
        'Acquire::Retries "3";' 'DPkg::Options {"--force-confdef";"--force-confold";};' \
        >"$tree/etc/apt/apt.conf.d/90machine"
    printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
    chmod 755 "$tree/usr/sbin/policy-rc.d"
    mountpoint -q "$tree/proc" || mount -t proc proc "$tree/proc"
}

net_off() {
    local tree=$1
    umount "$tree/proc" 2>/dev/null || true
    : >"$tree/etc/apt/sources.list"
    rm -rf "$tree/etc/apt/apt.conf.d/90machine" "$tree/usr/sbin/policy-rc.d" "$tree"/var/lib/apt/lists/* \
        "$tree"/var/cache/apt/*.bin "$tree"/var/cache/apt/archives/*.deb
    : >"$tree/etc/resolv.conf"
}

builder_down() {
    umount "$builder/m/proc" 2>/dev/null || true
    umount "$builder/m" 2>/dev/null || true
    rm -rf --one-file-system "$builder"
}

trap 'umount "$root/proc" 2>/dev/null || true; umount "$builder/m/proc" 2>/dev/null || true
    umount "$builder/m" 2>/dev/null || true' EXIT

# shellcheck disable=SC2012  # names without surprises
kernel() { ls "$root/lib/modules" | sort -V | tail -1; }

# --- the steps -------------------------------------------------------------------------------------------------------

step_base() {
    builder_down
    rm -rf --one-file-system "$root"
    local mirror
    mirror=$(host_sources | awk 'NR == 1 {for (i = 2; i <= NF; i++) if ($i ~ "://") print $i}')
    debootstrap --variant=minbase --include=systemd,systemd-sysv,udev,dbus,ca-certificates \
        "$suite" "$root" ${mirror:+"$mirror"}
}

step_packages() {
    net_on "$root"
    mkdir -p "$root/etc/initramfs-tools/conf.d"
    inside "$root" apt-get -q update
    inside "$root" apt-get -q -y full-upgrade
    # initramfs: only what is needed to find the root disk
    inside "$root" apt-get -q -y install initramfs-tools
    printf 'MODULES=list\nCOMPRESS=gzip\nRESUME=none\n' >"$root/etc/initramfs-tools/conf.d/machine"
    printf 'virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n' >"$root/etc/initramfs-tools/modules"
    inside "$root" apt-get -q -y install "${packages[@]}"
    net_off "$root"
}

# Debian's kernel packages have no gpio-sim: it is built here, unchanged, from Debian's linux-source of the same version,
# with the simulated interrupt controller (kernel/irq/irq_sim.c) that it needs linked into it. And v4l2loopback, a camera
# that delivers whatever is fed to it.
step_modules() {
    builder_down
    mkdir -p "$builder"/{upper,work,m}
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$builder/upper,workdir=$builder/work" "$builder/m"
    net_on "$builder/m"
    local version series tree=$builder/m
    version=$(kernel)
    series=${version%%-*} series=${series%.*}
    inside "$tree" apt-get -q update
    inside "$tree" apt-get -q -y install gcc make libc6-dev "linux-headers-$version" "linux-source-$series" xz-utils
    mkdir -p "$tree/build/gpio"
    tar -C "$tree/build" -xJf "$tree/usr/src/linux-source-$series.tar.xz" \
        "linux-source-$series/drivers/gpio" "linux-source-$series/kernel/irq/irq_sim.c"
    cp "$tree/build/linux-source-$series"/drivers/gpio/gpiolib.h "$tree/build/gpio/"
    cp "$tree/build/linux-source-$series/drivers/gpio/gpio-sim.c" "$tree/build/gpio/gpio-sim-driver.c"
    cp "$tree/build/linux-source-$series/kernel/irq/irq_sim.c" "$tree/build/gpio/"
    printf '%s\n' '#include <linux/irq.h>' '#include <linux/irqdesc.h>' \
        '/* irq_to_desc() is not exported to modules; this is the same thing */' \
        '#define irq_to_desc(n) irq_data_to_desc(irq_get_irq_data(n))' \
        '#include "irq_sim.c"' >"$tree/build/gpio/irq_sim_module.c"
    echo '#include "gpio-sim-driver.c"' >"$tree/build/gpio/gpio_sim_main.c"
    printf 'obj-m := gpio-sim.o\ngpio-sim-y := gpio_sim_main.o irq_sim_module.o\n' >"$tree/build/gpio/Makefile"
    inside "$tree" sh -c 'cd /build && apt-get -q download v4l2loopback-dkms && dpkg -x v4l2loopback-dkms*.deb unpacked'
    mv "$tree"/build/unpacked/usr/src/v4l2loopback-* "$tree/build/v4l2loopback"
    local source name
    for name in gpio-sim v4l2loopback; do
        source=/build/${name%-sim}
        inside "$tree" make -C "/lib/modules/$version/build" "M=$source" "$name.ko"
        inside "$tree" strip -g "$source/$name.ko"
        install -D -m 644 "$tree$source/$name.ko" "$root/lib/modules/$version/updates/$name.ko"
    done
    inside "$root" depmod "$version"
    net_off "$tree"
    builder_down
}

# Ready wheels of everything that the project needs, for the machine's Python: it has no network.
step_wheels() {
    local -a platforms=()
    local name
    for name in manylinux_2_34 manylinux_2_28 manylinux_2_17 manylinux2014; do
        platforms+=(--platform "${name}_x86_64")
    done
    rm -rf "$wheels"
    mkdir -p "$wheels"
    "$python" -m pip download --quiet --dest "$wheels" --only-binary :all: --python-version 3.11 --implementation cp \
        "${platforms[@]}" --requirement <(requirements)
}

# An environment of the machine's own, beside the one that bwvd/docs/install.md makes: for uinput, and for tests that run there.
step_venv() {
    rm -rf "$root/opt/bed" "$root/opt/wheels"
    mkdir -p "$root/opt/wheels"
    cp "$wheels"/*.whl "$root/opt/wheels/"
    printf '[global]\nno-index = true\nfind-links = /opt/wheels\ndisable-pip-version-check = true\n' >"$root/etc/pip.conf"
    inside "$root" python3 -m venv /opt/bed
    requirements >"$root/opt/requirements"
    inside "$root" /opt/bed/bin/pip install --quiet --requirement /opt/requirements
    inside "$root" python3 -m compileall -q /usr/lib/python3 || true
}

step_image() {
    local version unit name
    version=$(kernel)
    echo bwv >"$root/etc/hostname"
    printf '127.0.0.1 localhost bwv\n' >"$root/etc/hosts"
    # The card is empty until the page's commands have written to /etc/fstab, which is not before the tests.
    echo '/dev/vda / ext4 rw,relatime,errors=remount-ro 0 1' >"$root/etc/fstab"
    mkdir -p "$root/root/.ssh" "$root/etc/ssh/sshd_config.d" "$root/etc/systemd/network" "$root/etc/systemd/system" \
        "$root/etc/systemd/journald.conf.d" "$root/etc/modprobe.d"
    inside "$root" passwd -q -d root
    [ -e "$folder/key" ] || ssh-keygen -q -t ed25519 -N '' -C machine -f "$folder/key"
    cp "$folder/key.pub" "$root/root/.ssh/authorized_keys"
    chmod -R go= "$root/root/.ssh"
    printf '%s\n' 'HostKey /etc/ssh/ssh_host_ed25519_key' 'PermitRootLogin prohibit-password' 'UsePAM no' 'UseDNS no' \
        'PrintMotd no' 'MaxSessions 100' >"$root/etc/ssh/sshd_config.d/machine.conf"
    printf '[Match]\nName=en* eth*\n[Network]\nAddress=10.0.2.15/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n' \
        >"$root/etc/systemd/network/10-machine.network"
    printf '[Journal]\nStorage=persistent\nSystemMaxUse=200M\n' >"$root/etc/systemd/journald.conf.d/machine.conf"
    echo 'options vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0 vid_cap_nr=0
options snd-aloop index=0 id=Mic pcm_substreams=1
options v4l2loopback devices=1 video_nr=9 exclusive_caps=1' >"$root/etc/modprobe.d/machine.conf"
    # vivid passes for a camera on USB, so that the rules give it its stable name
    echo 'ACTION!="remove", SUBSYSTEM=="video4linux", ATTR{name}=="vivid*", ENV{ID_BUS}="usb"' \
        >"$root/etc/udev/rules.d/65-machine.rules"
    # nothing that starts by itself and takes the processor from the tests
    for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer man-db.timer \
        dpkg-db-backup.timer e2scrub_reap.service systemd-networkd-wait-online.service getty@tty1.service \
        systemd-pstore.service alsa-restore.service alsa-state.service systemd-update-utmp.service \
        systemd-timesyncd.service logrotate.timer dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount \
        sys-kernel-tracing.mount sys-fs-fuse-connections.mount modprobe@drm.service modprobe@fuse.service \
        modprobe@loop.service modprobe@dm_mod.service systemd-logind.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    install -m 755 "$here"/guest/bed "$here"/guest/bed-{feed,keys,watch} "$root/usr/local/sbin/"
    install -m 644 "$here/guest/bed.service" "$root/etc/systemd/system/"
    inside "$root" systemctl -q enable systemd-networkd ssh bed
    ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
    rm -f "$root/var/log/"*.log "$root/var/log/apt/"*
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    for name in "${modules[@]}"; do
        inside "$root" modinfo -k "$version" -F filename "$name" >/dev/null
    done
    inside "$root" update-initramfs -u -k "$version"
    # Debian packs its kernel with xz; unpacked, the machine need not do that at each start
    python3 - "$root/boot/vmlinuz-$version" "$folder/vmlinux" <<'PY'
import lzma, pathlib, sys
data = pathlib.Path(sys.argv[1]).read_bytes()
elf = lzma.LZMADecompressor().decompress(data[data.index(b"\xfd7zXZ\0"):])
assert elf[:4] == b"\x7fELF"
pathlib.Path(sys.argv[2]).write_bytes(elf)
PY
    cp "$root/boot/initrd.img-$version" "$folder/initrd.img"
    rm -f "$folder/root.img.new"
    truncate -s "${root_mib}M" "$folder/root.img.new"
    mkfs.ext4 -q -L bwvroot -E lazy_itable_init=0 -d "$root" "$folder/root.img.new"
    mv "$folder/root.img.new" "$folder/root.img"
}

# --- what each is made from ------------------------------------------------------------------------------------------

requirements() { # of the project, its custody and its tests, but for those that only look at source text
    "$python" - "$here/../../pyproject.toml" <<'PY'
import re, sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
extras = project["optional-dependencies"]
wanted = dict.fromkeys(project["dependencies"] + extras["custody"] + extras["test"])  # each once
print(*[line for line in wanted if not re.match(r"(mypy|ruff)\b", line)], sep="\n")
PY
}

made_from() {
    declare -f "step_$1" inside
    case $1 in
    base) echo "$suite" ;;
    packages) echo "${packages[*]}" ;;
    wheels | venv) requirements ;;
    image) cat "$here"/guest/bed* && echo "$root_mib ${modules[*]}" ;;
    esac
}

case ${2:-build} in
clean) builder_down; rm -rf --one-file-system "$root" "$folder/stamps"; exit ;;
build) ;;
*) sed -n '2,4p' "$0" | cut -c3- >&2; exit 2 ;;
esac

steps=(base packages modules wheels venv image)

current() { # STEP: is what it left still what it would make?
    [ -e "$folder/stamps/$1" ] && [ "$(cat "$folder/stamps/$1")" = "$(made_from "$1" | sha256sum)" ]
}

again=
for step in "${steps[@]}"; do
    # What is to be changed has to be there: a tree that somebody has cleared away is made from its beginning.
    if ! current "$step" && [ ! -e "$root/usr/bin/env" ]; then again=yes; fi
done
for step in "${steps[@]}"; do
    stamp=$folder/stamps/$step
    if [ -z "$again" ] && current "$step"; then continue; fi
    again=yes
    digest=$(made_from "$step" | sha256sum)
    rm -f "$stamp"
    began=$SECONDS
    set +e # and on again inside, which behind || or in an if it would not be
    (set -e; "step_$step") >"$folder/$step.log" 2>&1
    failed=$?
    set -e
    if ((failed)); then tail -n 20 "$folder/$step.log" >&2; echo "$step failed" >&2; exit 1; fi
    echo "$digest" >"$stamp"
    echo "$step: $((SECONDS - began)) s"
done
