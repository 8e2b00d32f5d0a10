# What install.sh, upgrade.sh, uninstall.sh and credential.sh have in common; to be sourced, POSIX sh.
# shellcheck shell=sh disable=SC2034

umask 022
# nvcc, with which PyCUDA is compiled, and ldconfig, by which Python finds libcuda, are on no path of root's on a Jetson.
export PATH="$PATH:/usr/local/cuda/bin:/usr/sbin:/sbin"
PROGRAM=$(basename "$0")
HERE=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
ROOT=
DRY=
INSTANCES=
CHANGED=

# Where things are, below --root.
OPT=/opt/tremorscope
ETC=/etc/tremorscope
STATE=/var/lib/tremorscope
UNITS=/usr/local/lib/systemd/system
LAUNCHER=/usr/local/bin/tremorscope

UNIT_FILES="tremorscope.service tremorscope@.service
tremorscope-revive.service tremorscope-revive.timer
tremorscope-restart-argus.path tremorscope-restart-argus.service
tremorscope-calibration-capture.service tremorscope-calibration-capture.timer
tremorscope-prove.service"
REBOOT_UNIT_FILES="tremorscope-reboot.path tremorscope-reboot.service"
JTOP_SYSUSERS=/etc/sysusers.d/tremorscope-jtop.conf

die() { # WHAT REMEDY
    printf '%s: %s: %s\n' "$PROGRAM" "$1" "$2" >&2
    exit 1
}

say() { printf '%s\n' "$*"; }

warn() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }

# Carry a command out, or only say it.
run() {
    if [ -n "$DRY" ]; then
        say "would run: $*"
    else
        "$@"
    fi
}

is_live() { [ -z "$ROOT" ] && [ -d /run/systemd/system ]; }

need_root() {
    [ -n "$DRY" ] || [ "$(id -u)" -eq 0 ] || die "not run as root" "sudo $0 (or --dry-run to see what would be done)"
}

# Parse --root into ROOT: an absolute directory that exists; / is no prefix at all.
set_root() { # DIRECTORY
    [ -d "$1" ] || die "--root $1: there is no such directory" "make it first"
    ROOT=$(CDPATH='' cd -- "$1" && pwd -P)
    [ "$ROOT" != / ] || ROOT=
}

argument_of() { # OPTION ARGUMENTS-LEFT
    [ "$2" -ge 2 ] || die "$1 lacks its value" "see $PROGRAM --help"
}

# One of us at a time; the kernel lets go however we end. The service asks for the same lock before it restarts the
# device, so that no update is cut short (runtime/host/privileged.py).
take_lock() {
    [ -z "$DRY" ] || return 0
    mkdir -p "$ROOT/run/lock"
    exec 9>>"$ROOT/run/lock/tremorscope.lock"
    chmod 0644 "$ROOT/run/lock/tremorscope.lock"
    flock -n 9 || die "another installation is going on" "wait until it has ended"
}

make_directory() { # PATH MODE
    [ -d "$ROOT$1" ] && return 0
    say "+ $1/"
    run mkdir -p -m "$2" "$ROOT$1"
}

# Put a file in its place, unless it is there already; it appears whole or not at all.
put_file() { # SOURCE PATH MODE
    if [ -f "$ROOT$2" ] && cmp -s "$1" "$ROOT$2" && [ "$(stat -c %a "$ROOT$2")" = "${3#0}" ]; then
        return 0
    fi
    say "+ $2"
    case $2 in "$UNITS"/*) CHANGED=yes ;; esac
    [ -n "$DRY" ] && return 0
    mkdir -p "$(dirname "$ROOT$2")"
    install -m "$3" "$1" "$ROOT$2.partial"
    mv -f "$ROOT$2.partial" "$ROOT$2"
}

put_text() { # PATH MODE LINE...
    path=$1 mode=$2
    shift 2
    text=$(mktemp)
    printf '%s\n' "$@" >"$text"
    put_file "$text" "$path" "$mode"
    rm -f "$text"
}

# Point a symbolic link elsewhere in one step.
put_link() { # TARGET PATH
    [ "$(readlink "$ROOT$2" 2>/dev/null)" = "$1" ] && return 0
    say "+ $2 -> $1"
    CHANGED=yes
    [ -n "$DRY" ] && return 0
    ln -s "$1" "$ROOT$2.partial"
    mv -fT "$ROOT$2.partial" "$ROOT$2"
}

remove() { # PATH
    [ -e "$ROOT$1" ] || [ -L "$ROOT$1" ] || return 0
    say "- $1"
    run rm -rf "$ROOT$1"
}

release_of() { # LINK: the release that it points to, or nothing
    readlink "$ROOT$OPT/$1" 2>/dev/null | sed 's#^releases/##' || true
}

in_system() { # COMMAND...: systemctl of the running system, or on the files of one that does not run
    if is_live; then
        run systemctl "$@"
    else
        case $1 in enable | disable) run systemctl ${ROOT:+"--root=$ROOT"} --quiet "$@" ;; esac
    fi
}

# Instances that are enabled, as units: tremorscope.service, tremorscope@north.service ...
enabled_instances() {
    for link in "$ROOT"/etc/systemd/system/multi-user.target.wants/tremorscope.service \
        "$ROOT"/etc/systemd/system/multi-user.target.wants/tremorscope@*.service; do
        [ ! -L "$link" ] || basename "$link"
    done
}

config_of() { # UNIT
    case $1 in
    tremorscope@*.service)
        name=${1#tremorscope@}
        printf '%s/%s.yaml\n' "$ETC" "${name%.service}"
        ;;
    *) printf '%s/config.yaml\n' "$ETC" ;;
    esac
}

# The command of a release, in a Python that nothing around it can confuse.
tremorscope() { # RELEASE ARGUMENTS...
    python="$ROOT$OPT/releases/$1/bin/python3"
    shift
    "$python" -I -m tremorscope "$@"
}

# Every configuration that is in use must be one that the release can follow.
check_configurations() { # RELEASE
    for unit in $INSTANCES; do
        file=$(config_of "$unit")
        [ -f "$ROOT$file" ] || continue
        tremorscope "$1" check "$ROOT$file" >&2 ||
            die "$file cannot be followed by release $1" "correct it as said above; nothing was changed"
    done
}

# Start what is enabled, anew where anything has changed, and wait until frames come.
start_instances() {
    failed=
    for unit in $INSTANCES; do
        if [ -z "$CHANGED" ] && systemctl is-active --quiet "$unit"; then continue; fi
        say "starting $unit, and waiting for its first frame"
        run systemctl reset-failed "$unit" 2>/dev/null || true
        # In the dark a service goes on starting for longer than an installation is to wait.
        if ! run timeout 180 systemctl restart "$unit"; then
            failed="$failed $unit"
            warn "the last that $unit said:"
            journalctl --quiet --no-pager --output cat --lines 8 --unit "$unit" >&2 || true
        fi
    done
    [ -z "$failed" ]
}

version_of_systemd() {
    systemctl --version 2>/dev/null | sed -n '1s/^systemd \([0-9]*\).*/\1/p'
}

# Configuration, credentials, store, clips, logs and user; there is no way back.
purge_data() {
    remove /etc/sysusers.d/tremorscope.conf
    remove "$ETC"
    remove "$STATE"
    remove /var/log/tremorscope
    if grep -qs '^tremorscope:' "$ROOT/etc/passwd" && command -v userdel >/dev/null; then
        say "- user tremorscope"
        run userdel ${ROOT:+--root "$ROOT"} tremorscope
    fi
}
