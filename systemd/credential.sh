#!/bin/sh
# Keeps passwords and tokens where only root and, while it runs, the service can read them.
set -eu
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

KNOWN="web-token control-token mqtt-password rtsp-password"

usage() {
    cat <<END
Usage: credential.sh set NAME < SECRET
       credential.sh generate NAME
       credential.sh remove NAME
       credential.sh list

NAME is one of $KNOWN,
or what a camera's configuration states under credential.
The secret is read from the terminal or standard input, kept in $ETC/credentials (root's alone), and given to the service by
systemd when it starts: restart it afterwards. generate makes one of 32 characters and prints it once.

  --root DIR   Work below this directory.
END
}

kept() { # the names of all that are kept
    [ ! -d "$ROOT$ETC/credentials" ] || (cd "$ROOT$ETC/credentials" && find . -maxdepth 1 -type f -name '[A-Za-z_]*' |
        sed 's#^\./##' | LC_ALL=C sort)
}

write_dropins() {
    dropin=$(mktemp)
    printf '# Written by credential.sh.\n\n[Service]\n' >"$dropin"
    found=
    for name in $(kept); do
        found=yes
        printf 'LoadCredential=%s:%s/credentials/%s\n' "$name" "$ETC" "$name" >>"$dropin"
    done
    for unit in tremorscope.service tremorscope@.service; do
        if [ -n "$found" ]; then
            put_file "$dropin" "/etc/systemd/system/$unit.d/20-credentials.conf" 0644
        else
            remove "/etc/systemd/system/$unit.d/20-credentials.conf"
        fi
    done
    rm -f "$dropin"
    if is_live; then systemctl daemon-reload; fi
}

keep() { # NAME SECRET
    [ -n "$2" ] || die "the secret for $1 is empty" "give it on standard input: credential.sh set $1 < FILE"
    make_directory "$ETC/credentials" 0700 >&2
    place="$ROOT$ETC/credentials/$1"
    if [ -f "$place" ] && [ "$(cat "$place")" = "$2" ]; then
        write_dropins >&2
        say "$1 is as it was" >&2
        return
    fi
    (umask 077 && printf '%s\n' "$2" >"$ROOT$ETC/credentials/.$1.partial")
    mv -f "$ROOT$ETC/credentials/.$1.partial" "$place"
    write_dropins >&2
    say "kept $1; restart the service to use it: systemctl restart 'tremorscope*.service'" >&2
}

if [ "${1:-}" = --root ]; then
    argument_of "$1" $#
    set_root "$2"
    shift 2
fi
case ${1:---help} in
-h | --help) usage && exit 0 ;;
list)
    kept
    exit 0
    ;;
set | generate | remove) ;;
*) die "$1: no such command" "see $PROGRAM --help" ;;
esac
case ${2:-} in
'' | [!A-Za-z_]* | *[!A-Za-z0-9_.-]*)
    die "'${2:-}' cannot be the name of a credential" "name one of $KNOWN, or what a camera states under credential"
    ;;
esac
case " $KNOWN " in *" $2 "*) ;; *) [ "$1" = remove ] || warn "$2 is only used if a camera states it under credential" ;; esac
need_root
case $1 in
set)
    if [ -t 0 ]; then
        printf '%s, which is not shown: ' "$2" >&2
        trap 'stty echo' EXIT
        stty -echo
        IFS= read -r secret || true
        printf '\n' >&2
    else
        secret=$(head -c 4097)
    fi
    [ "${#secret}" -le 4096 ] || die "the secret for $2 is longer than 4096 characters" "give a shorter one"
    case $secret in *"
"*) die "the secret for $2 has several lines" "give one line" ;; esac
    keep "$2" "$secret"
    ;;
generate)
    secret=$(head -c 256 /dev/urandom | base64 -w 0 | tr -dc 'A-Za-z0-9' | head -c 32)
    keep "$2" "$secret"
    say "$secret"
    ;;
remove)
    remove "$ETC/credentials/$2"
    write_dropins
    ;;
esac
