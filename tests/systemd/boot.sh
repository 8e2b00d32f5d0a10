#!/bin/sh
# Starts a real systemd as process 1 of namespaces of its own, on a copy of this machine's files in memory.
#
#   unshare --mount --pid --uts --ipc --cgroup --net --fork --kill-child boot.sh SOURCE LIBRARIES PYTHON [DISK [BASE]]
#
# With BASE, a directory with the files of another machine, on a copy of those; LIBRARIES and PYTHON may then be empty.
# Nothing that it does outlives it: files are written to memory, or to the directory DISK, which the next start can
# take up again; it sees no device and no network but its own loopback.
# Of the units that Debian ships it knows only the few below: others would reach for the machine's real devices.
set -eu

mount --make-rprivate /
mount -t tmpfs -o size=4g tmpfs /mnt
mkdir /mnt/root /mnt/disk
[ -z "${4:-}" ] || mount --bind "$4" /mnt/disk
mkdir -p /mnt/disk/changes /mnt/disk/work
mount -t overlay -o "lowerdir=${5:-/},upperdir=/mnt/disk/changes,workdir=/mnt/disk/work" overlay /mnt/root
cd /mnt/root

mount -t tmpfs -o mode=0755 tmpfs dev
for node in null zero full random urandom tty; do
    touch "dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
ln -s /proc/self/fd dev/fd
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t sysfs -o ro sysfs sys
mount -t proc proc proc
mount -t cgroup2 cgroup2 sys/fs/cgroup
for place in run tmp; do mount -t tmpfs tmpfs "$place"; done
chmod 1777 tmp
mkdir -p run/lock run/stock srv/source srv/libraries srv/python
mount --bind "$1" srv/source
[ -z "$2" ] || mount --bind "$2" srv/libraries
[ -z "$3" ] || mount --bind "$3" srv/python # which may lie below /root, where services see nothing
ip link set lo up 2>/dev/null || true

for unit in sysinit basic multi-user sockets timers paths slices network local-fs shutdown umount final reboot; do
    ln -s "/lib/systemd/system/$unit.target" run/stock/
done
for unit in systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket systemd-reboot.service \
    dbus.service dbus.socket polkit.service; do
    [ ! -e "lib/systemd/system/$unit" ] || ln -s "/lib/systemd/system/$unit" run/stock/
done
mkdir run/stock/sockets.target.wants
for socket in run/stock/*.socket; do ln -s "../$(basename "$socket")" run/stock/sockets.target.wants/; done
if [ ! -e etc/tremorscope-test ]; then
    touch etc/tremorscope-test
    rm -rf etc/systemd/system/* etc/systemd/journald.conf.d
fi
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nRateLimitBurst=0\n' >etc/systemd/journald.conf
# An interpreter that was built into /root finds its library nowhere else once a service no longer sees /root.
printf '[Manager]\nDefaultTimeoutStopSec=5s\nDefaultEnvironment=LD_LIBRARY_PATH=/srv/python/lib\n' >etc/systemd/system.conf

mkdir -p old
pivot_root . old
umount -l old
mount --make-rshared / # as systemd does itself where it is no container: credentials are mounted by a helper
exec env -i container=unshare PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/systemd/system:/usr/local/lib/systemd/system:/run/stock \
    /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal
