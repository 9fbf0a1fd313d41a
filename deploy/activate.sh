#!/bin/sh
# Switches this board from one release to another, by itself: nobody has to stay connected.
#
#   activate ID         serve release ID, or what served before if it does not prove healthy
#   activate --back     take the last switch back: rollback will not go to what it had switched to
#   activate --settle   at boot: take back a switch that a power cut has left half way
#
# "pending" is there before anything changes and goes when the new release has proved healthy or
# the old one is back. So a cut at any moment leaves either no pending and a good "current", or a
# pending from which --settle goes back. It holds three ids, - for none: NEW OLD PREVIOUS.
#
# Exit code: 0 ID serves; 1 it does not, what was before is back; 2 nothing was changed;
# 3 neither of them starts.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 022

root=/opt/prism-edge
unit=prism-edge.service
settle=prism-edge-settle.service
units=/etc/systemd/system
hold_s=2 # as long must a started daemon live, in one life, to count as healthy

say() { printf '%s\n' "activate: $*"; }

refuse() {
    say "$*" >&2
    exit 2
}

# The id that the link $1 points to; nothing without a link.
target() {
    if [ -L "$root/$1" ]; then
        basename "$(readlink "$root/$1")"
    fi
}

# The link $1 points to release $2, on disk too; it is gone if $2 is -.
point() {
    if [ "$2" = - ]; then
        rm -f "$root/$1"
    else
        ln -sfn "releases/$2" "$root/.$1.part" && mv -T "$root/.$1.part" "$root/$1" || return 1
    fi
    sync "$root"
}

# systemd knows the unit as release $1 has it; none if $1 is -.
fit_unit() {
    if [ "$1" = - ]; then
        systemctl disable --quiet "$unit" 2>/dev/null || :
        rm -f "$units/$unit"
    elif ! cmp -s "$root/releases/$1/etc/$unit" "$units/$unit"; then
        cp "$root/releases/$1/etc/$unit" "$units/.$unit.part" || return 1
        sync "$units/.$unit.part"
        mv -T "$units/.$unit.part" "$units/$unit" || return 1
    fi
    sync "$units"
    systemctl daemon-reload
}

# Links and unit are as they were before the switch that pending tells of.
go_back() {
    read -r new old previous <"$root/pending"
    point current "$old"
    point previous "$previous"
    fit_unit "$old"
    rm "$root/pending"
    sync "$root"
}

now() { systemctl show --property=ActiveState,MainPID,NRestarts "$unit"; }

# The daemon starts anew, says that it is ready (its engine is up and a test inference was right),
# and stays so for a while.
starts() {
    systemctl reset-failed "$unit" 2>/dev/null || :
    began=$(date +%s)
    systemctl restart "$unit" || return 1
    first=$(now)
    left=$hold_s
    while [ "$left" -gt 0 ]; do
        sleep 1
        left=$((left - 1))
        [ "$(now)" = "$first" ] || return 1
    done
    systemctl --quiet is-active "$unit"
}

last_words() {
    journalctl --quiet --no-pager --output=cat --since="@$began" --lines=15 \
        "_SYSTEMD_UNIT=$unit" || :
}

# Release $1 serves; previous is then $2, or what served before.
switch() {
    id=$1
    [ -f "$root/releases/$id/release.json" ] || refuse "there is no release $id on this board"
    if [ -e "$root/pending" ]; then
        say "an earlier switch was cut off; it is taken back first"
        go_back
    fi
    before=$(target current)
    before=${before:--}
    systemctl enable --quiet "$settle"
    if [ "$before" != "$id" ]; then
        earlier=$(target previous)
        printf '%s\n' "$id $before ${earlier:--}" >"$root/.pending.part"
        sync "$root/.pending.part"
        mv -T "$root/.pending.part" "$root/pending"
        sync "$root"
    fi
    if ! { point current "$id" && fit_unit "$id" && systemctl enable --quiet "$unit"; }; then
        [ "$before" = "$id" ] || go_back
        say "the switch itself failed, see above; is the disk full?"
        return 1
    fi
    say "starting release $id"
    if starts; then
        if [ "$before" != "$id" ]; then
            point previous "${2:-$before}"
            mv "$root/pending" "$root/.switched"
            sync "$root"
        fi
        say "release $id serves"
        return 0
    fi
    say "release $id does not prove healthy; its last words:"
    last_words
    if [ "$before" = "$id" ]; then
        say "release $id is the one that served before; nothing to go back to"
        return 3
    fi
    if [ "$before" = - ]; then
        systemctl stop "$unit" || :
        go_back
        say "no release served before; none serves now"
        return 1
    fi
    go_back
    if starts; then
        say "release $before serves again"
        return 1
    fi
    say "release $before, which served before, does not start either; its last words:"
    last_words
    return 3
}

[ "$(id -u)" = 0 ] || refuse "run it as root"
[ $# = 1 ] || refuse "usage: activate ID | activate --back | activate --settle"
exec 9>"$root/.activate.lock"
flock --nonblock 9 || refuse "another switch is under way on this board; wait for its end"
case $1 in
--settle)
    if [ -e "$root/pending" ]; then
        go_back
        say "a switch to $new was cut off; back to $old"
    fi
    ;;
--back)
    if [ -e "$root/.switched" ]; then
        read -r new old previous <"$root/.switched"
    fi
    if [ "${new:-}" != "$(target current)" ] || [ "${old:--}" = - ]; then
        refuse "there is no switch to take back"
    fi
    switch "$old" "$previous"
    rm "$root/.switched"
    ;;
-* | */* | .*) refuse "$1 is no release" ;;
*) switch "$1" ;;
esac
