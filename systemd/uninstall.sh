#!/bin/sh
# Takes the service away. Configuration and data stay, unless --purge is given.
set -eu
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

usage() {
    cat <<'END'
Usage: uninstall.sh [OPTIONS]

Stops and removes the service and all its releases. /etc/tremorscope and /var/lib/tremorscope stay.

  --purge      Remove configuration, credentials, store, clips and logs too. There is no way back.
  --dry-run    Say what would be done, and do nothing.
  --root DIR   Uninstall below this directory.
  -h, --help   Show this and end.
END
}

PURGE=
while [ $# -gt 0 ]; do
    case $1 in
    --purge) PURGE=yes ;;
    --dry-run) DRY=yes ;;
    --root) argument_of "$1" $# && set_root "$2" && shift ;;
    -h | --help) usage && exit 0 ;;
    *) die "$1: no such option" "see $PROGRAM --help" ;;
    esac
    shift
done

need_root
take_lock
all="$(enabled_instances) tremorscope-revive.timer tremorscope-restart-argus.path tremorscope-reboot.path
tremorscope-calibration-capture.timer"
for unit in $all; do
    wanted=$(find "$ROOT"/etc/systemd/system -path "*.wants/$unit" 2>/dev/null | head -n 1)
    [ -n "$wanted" ] || continue
    say "- $unit"
    in_system disable "$unit"
done
if is_live; then
    run systemctl stop 'tremorscope*' || true
fi
for file in $UNIT_FILES $REBOOT_UNIT_FILES; do remove "$UNITS/$file"; done
for unit in tremorscope.service tremorscope@.service; do
    remove "$UNITS/$unit.d"
    remove "/etc/systemd/system/$unit.d/20-credentials.conf"
    [ -n "$DRY" ] || rmdir "$ROOT/etc/systemd/system/$unit.d" 2>/dev/null || true
done
remove "$UNITS/nvargus-daemon.service.d"
remove /etc/polkit-1/rules.d/50-tremorscope.rules
remove /etc/polkit-1/rules.d/51-tremorscope-reboot.rules
remove /etc/tmpfiles.d/tremorscope.conf
remove "$JTOP_SYSUSERS"
remove /run/tremorscope-requests
remove "$LAUNCHER"
remove "$OPT"
remove /var/cache/tremorscope
if [ -n "$PURGE" ]; then
    purge_data
else
    say "kept: $ETC, $STATE, /var/log/tremorscope and the user that owns them (--purge removes them)"
fi
if is_live; then run systemctl daemon-reload; fi
say "done"
