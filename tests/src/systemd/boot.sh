# Makes systemd the first process of a node, in a pid, mount and cgroup namespace of its own. What it writes goes into memory
# and is gone with it: its root is the machine's file system with an overlay, and it has no units but ours.
#
# $1 = a directory of this node, $2 = the agent, $3 = its configuration, $4 = its unit
set -eu
top=$1/root-fs
mount --make-rprivate /
mkdir -p "$top"
mount -t tmpfs tmpfs "$top"
root=$top/root
mkdir "$top/upper" "$top/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" overlay "$root"

mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t bpf bpf "$root/sys/fs/bpf"
if [ -d /sys/fs/cgroup/systemd ]; then
    # Version 1: systemd keeps the tree of its units in a hierarchy of its own.
    mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
else
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
fi
for empty in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$empty"; done
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
# PrivateDevices= takes these over.
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"

touch "$root/usr/bin/adc"
mount --bind "$2" "$root/usr/bin/adc"
mkdir -p "$root/etc/adc" "$root/run/units"
cp "$3" "$root/etc/adc/adc.toml"
cp "$4" "$root/run/units/adc.service"
# There is no journal here.
touch "$1/adc.log" "$root/run/adc.log"
mount --bind "$1/adc.log" "$root/run/adc.log"
mkdir "$root/run/units/adc.service.d"
printf '[Service]\nStandardOutput=append:/run/adc.log\nStandardError=inherit\n' >"$root/run/units/adc.service.d/log.conf"
# What every unit wants to come after, and nothing in it.
for target in only sysinit basic network multi-user shutdown umount; do
    printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$target" >"$root/run/units/$target.target"
done
# Not chroot: systemd gives its services roots of their own, which must stand in the first one.
cd "$root"
mkdir old
pivot_root . old
cd /
umount -l /old
exec /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other SYSTEMD_UNIT_PATH=/run/units \
    /lib/systemd/systemd --system --unit=only.target --show-status=no
