#!/bin/sh
# wireguard-go, for kernels without WireGuard, started so that it answers when this returns: it goes to
# the background first, and wg-quick, which does not wait, then fails on a busy core.
# Goes to /etc/prism-edge/mesh-userspace; wg-quick calls it (mesh.conf) with the interface.
set -eu

wireguard-go "$1"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    if wg show "$1" >/dev/null 2>&1; then
        exit 0
    fi
    sleep 0.25
done
echo "wireguard-go does not answer for $1" >&2
exit 1
