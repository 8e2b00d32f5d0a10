#!/bin/sh
# Upgrades an installation to the release that this script belongs to, or goes back to the one before.
set -eu
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

usage() {
    cat <<'END'
Usage: upgrade.sh [OPTIONS of install.sh]
       upgrade.sh --rollback [--no-start] [--dry-run] [--root DIR]

Configuration and data stay as they are. The new release is installed beside the old one and checked against every
configuration in use; only then is it switched to and started. If no frames come, the old one is started again.
--rollback goes back to the release before, and once more forward.
END
}

ROLLBACK='' START=yes
for option in "$@"; do
    case $option in
    --rollback) ROLLBACK=yes ;;
    -h | --help) usage && exit 0 ;;
    esac
done

if [ -z "$ROLLBACK" ]; then
    expect=
    for option in "$@"; do
        [ "$expect" != --root ] || set_root "$option"
        expect=$option
    done
    [ -n "$(release_of current)" ] || die "nothing is installed in $ROOT$OPT" "run install.sh"
    exec "$HERE/install.sh" "$@"
fi

while [ $# -gt 0 ]; do
    case $1 in
    --rollback) ;;
    --root) argument_of "$1" $# && set_root "$2" && shift ;;
    --no-start) START= ;;
    --dry-run) DRY=yes ;;
    *) die "$1: no such option of --rollback" "see $PROGRAM --help" ;;
    esac
    shift
done

need_root
take_lock
current=$(release_of current)
previous=$(release_of previous)
[ -e "$ROOT$OPT/releases/${previous:-none}/complete" ] ||
    die "there is no release to go back to" "only the one before the latest upgrade is kept"
INSTANCES=$(enabled_instances)
[ -n "$DRY" ] || check_configurations "$previous"
say "going back from $current to $previous"
from="$ROOT$OPT/releases/$previous/systemd"
for file in $UNIT_FILES; do
    [ ! -f "$from/$file" ] || put_file "$from/$file" "$UNITS/$file" 0644
done
for file in $REBOOT_UNIT_FILES; do
    [ ! -f "$ROOT$UNITS/$file" ] || [ ! -f "$from/$file" ] || put_file "$from/$file" "$UNITS/$file" 0644
done
put_link "releases/$previous" "$OPT/current"
put_link "releases/$current" "$OPT/previous"
if is_live; then
    run systemctl daemon-reload
    [ -z "$START" ] || start_instances ||
        die "release $previous gave no frames either" "journalctl -u 'tremorscope*' says why"
fi
say "done: release $previous"
