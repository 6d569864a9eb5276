#!/bin/sh
# Becomes systemd as pid 1 of a machine of its own. Runs as pid 1 of new pid, mount, uts, ipc and network namespaces:
#   boot.sh FOLDER CGROUP REPOSITORY PYTHON_HOME
# FOLDER is an empty folder to mount things on, CGROUP the name for the machine's cgroup, REPOSITORY is shown read-only
# as /opt/src, and PYTHON_HOME (the interpreter's prefix) as /opt/python, since where it is may be a home that another
# user can't enter. Everything that is written goes to a tmpfs; all mounts are seen by this mount namespace alone and
# vanish with it.
set -eu
folder=$1 cgroup=$2 repository=$3 python_home=$4
root=$folder/root

mount --make-rprivate /
mount -t tmpfs -o mode=755,size=512m machine "$folder"
mkdir "$folder/upper" "$folder/work" "$root" "$folder/cgroups"

# A cgroup of its own, which the cgroup namespace makes the root of what systemd sees.
mount -t cgroup2 cgroup2 "$folder/cgroups"
mkdir "$folder/cgroups/$cgroup"
echo 0 >"$folder/cgroups/$cgroup/cgroup.procs"
umount "$folder/cgroups"

mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" machine "$root"
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" "$root/opt/src" "$root/.old" "$root/opt/python"
mount --bind "$repository" "$root/opt/src"
mount -o remount,bind,ro "$root/opt/src"
mount --rbind "$python_home" "$root/opt/python"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys" # the kernel's settings are the host's: they are not to be touched
mount -o remount,bind,ro "$root/proc/sys"
mount -t tmpfs -o mode=755,nosuid,nodev run "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmp "$root/tmp"
mount -t tmpfs -o mode=755,nosuid dev "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777,nosuid,nodev shm "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

# Only what the tests need is started; nothing that the host has enabled.
rm -rf "$root"/lib/systemd/system/*.wants "$root"/etc/systemd/system/* "$root"/etc/fstab "$root"/var/log/journal
rm -rf "$root"/etc/rc?.d "$root"/etc/codeblue "$root"/var/lib/codeblue "$root"/var/log/nginx/* "$root"/opt/codeblue
units=$root/etc/systemd/system
mkdir -p "$units/sysinit.target.wants" "$units/sockets.target.wants" "$units/multi-user.target.wants"
for unit in systemd-journald systemd-tmpfiles-setup; do
    ln -s "/lib/systemd/system/$unit.service" "$units/sysinit.target.wants/"
done
for unit in systemd-journald systemd-journald-dev-log dbus; do
    ln -s "/lib/systemd/system/$unit.socket" "$units/sockets.target.wants/"
done
ln -s /dev/null "$units/systemd-journald-audit.socket"
ln -s /lib/systemd/system/polkit.service "$units/multi-user.target.wants/"
printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n' >"$root/etc/systemd/journald.conf"
printf 'nameserver 127.0.0.1\n' >"$root/etc/resolv.conf"
printf '127.0.0.1 localhost machine\n::1 localhost\n' >"$root/etc/hosts"
echo machine >"$root/etc/hostname"
hostname machine
ip link set lo up 2>/dev/null || ifconfig lo up

exec unshare --cgroup /bin/sh -eu -c '
    cd "$1"
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
    pivot_root . .old
    umount -l .old
    rmdir .old
    export container=codeblue-tests
    exec chroot . /lib/systemd/systemd --system --unit=multi-user.target --show-status=no \
        --log-target=journal --log-level=info </dev/null' boot "$root"
