#!/bin/sh
# The packet filter of the mesh, put up before the mesh has an address and taken away after it: by nft,
# or where this kernel takes none of its rules by iptables. Where it takes neither, there is no mesh.
# Goes to /etc/prism-edge/mesh-firewall; wg-quick calls it (PreUp, PostDown). By hand, as root:
#     mesh-firewall up prism0 10.99.0.0/24
set -eu

usage='usage: mesh-firewall up|down INTERFACE SUBNET'
action=${1:?$usage} interface=${2:?$usage} subnet=${3:?$usage}
rules=/etc/prism-edge/mesh.nft
chain=PRISM-EDGE-MESH

by_iptables() { # PROGRAM
    "$1" -N "$chain" 2>/dev/null || "$1" -F "$chain" || return 1
    "$1" -A "$chain" -i lo -j RETURN &&
        "$1" -A "$chain" -i "$interface" -j RETURN &&
        "$1" -A "$chain" -d "$subnet" -j DROP &&
        "$1" -A "$chain" -s "$subnet" -j DROP || return 1
    "$1" -C INPUT -j "$chain" 2>/dev/null || "$1" -I INPUT -j "$chain"
}

case $action in
    up)
        if command -v nft >/dev/null && nft -f "$rules"; then
            exit 0
        fi
        for program in iptables iptables-legacy; do
            if command -v "$program" >/dev/null && by_iptables "$program"; then
                exit 0
            fi
        done
        echo "no packet filter here: neither nft nor iptables takes rules in this kernel," \
            "and without them the mesh would be open to the LAN" >&2
        exit 1
        ;;
    down)
        nft delete table inet prism_edge_mesh 2>/dev/null || true
        for program in iptables iptables-legacy; do
            "$program" -D INPUT -j "$chain" 2>/dev/null || true
            "$program" -F "$chain" 2>/dev/null || true
            "$program" -X "$chain" 2>/dev/null || true
        done
        ;;
    *)
        echo "$usage" >&2
        exit 2
        ;;
esac
