#!/bin/sh
# Installs tremorscope as a service. Run again it mends what is missing and changes nothing else.
set -eu
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/jetpack.sh"

usage() {
    cat <<'END'
Usage: install.sh [OPTIONS]

Installs the release that this script belongs to, beside any earlier one, and starts it when all checks pass.
Configuration and data that are there already stay as they are.

  --config FILE      Take this configuration where none is there yet; otherwise the demonstration, without a camera.
  --instance NAME    One camera of several: tremorscope@NAME.service with /etc/tremorscope/NAME.yaml; repeatable.
  --allow-reboot     Let the service restart the device as its last resort; the configuration must ask for it too.
  --no-start         Install and check only.
  --ignore-doctor    Go on although `tremorscope doctor` finds that the device lacks something.
  --dry-run          Say what would be done, and do nothing.

  --wheel FILE       Install this wheel rather than the sources beside this script.
  --wheels DIR       Take libraries from wheels in this directory; nothing is fetched.
  --libraries DIR    Use the Python libraries installed in this directory; nothing is fetched.
  --python PROGRAM   Python 3.10, 3.11 or 3.12.  [default: python3]
  --root DIR         Install below this directory, e.g. into an image; nothing is started.
  -h, --help         Show this and end.
END
}

CONFIG='' WHEEL='' WHEELS='' LIBRARIES='' PYTHON=python3 START=yes REBOOT='' DOCTOR=yes
while [ $# -gt 0 ]; do
    case $1 in
    --config | --instance | --wheel | --wheels | --libraries | --python | --root) argument_of "$1" $# ;;
    esac
    case $1 in
    --config) CONFIG=$2 && shift ;;
    --instance) INSTANCES="$INSTANCES tremorscope@$2.service" && shift ;;
    --wheel) WHEEL=$2 && shift ;;
    --wheels) WHEELS=$2 && shift ;;
    --libraries) LIBRARIES=$2 && shift ;;
    --python) PYTHON=$2 && shift ;;
    --root) set_root "$2" && shift ;;
    --allow-reboot) REBOOT=yes ;;
    --no-start) START= ;;
    --ignore-doctor) DOCTOR= ;;
    --dry-run) DRY=yes ;;
    -h | --help) usage && exit 0 ;;
    *) die "$1: no such option" "see $PROGRAM --help" ;;
    esac
    shift
done

SOURCE=$(dirname "$HERE")

# --- Checks, before anything is changed.

check_surroundings() {
    need_root
    for name in $INSTANCES; do
        case ${name#tremorscope@} in
        *[!a-z0-9.-]* | .* | -* | main.service | calibration.service | config.service)
            die "--instance: ${name#tremorscope@} cannot be a name" "take lower-case letters, digits and -"
            ;;
        esac
    done
    if [ -z "$ROOT" ]; then
        [ -d /run/systemd/system ] || [ -n "$DRY" ] || [ -z "$START" ] ||
            die "systemd does not run here" "boot with it, or prepare an image with --no-start or --root"
        version=$(version_of_systemd)
        [ "${version:-0}" -ge 249 ] || [ -n "$DRY" ] || die "systemd ${version:-is missing}" "249 or newer is needed"
    fi
    l4t=$(l4t_release)
    case $l4t in
    '' | 3[6-9].* | [4-9]?.*) ;;
    *) die "Jetson Linux $l4t is older than JetPack 6" "flash the device with JetPack 6.2 or later" ;;
    esac
    "$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' 2>/dev/null ||
        die "$PYTHON is not Python 3.10, 3.11 or 3.12" "name one with --python"
    needed='venv, ensurepip'
    [ -z "$(pip_of_wheels)" ] || needed=venv
    "$PYTHON" -c "import $needed" 2>/dev/null ||
        die "$PYTHON cannot make virtual environments" "apt install python3-venv"
    if [ -n "$CONFIG" ] && [ ! -f "$CONFIG" ]; then
        die "--config $CONFIG: there is no such file" "name a configuration, e.g. $SOURCE/configs/bridge.yaml"
    fi
    if [ -n "$WHEEL" ]; then
        [ -f "$WHEEL" ] || die "--wheel $WHEEL: there is no such file" "build one with: pip wheel --no-deps ."
    elif [ ! -f "$SOURCE/pyproject.toml" ] && [ ! -e "$SOURCE/complete" ]; then
        die "$SOURCE: holds no sources to install" "name a wheel with --wheel"
    fi
    for directory in "$WHEELS" "$LIBRARIES"; do
        [ -z "$directory" ] || [ -d "$directory" ] || die "$directory: there is no such directory" "check the path"
    done
    choose_libraries
    free_kb=$(df -Pk "${ROOT:-/}" | awk 'NR == 2 {print $4}')
    needed_kb=2000000
    [ -z "$LIBRARIES" ] || needed_kb=200000
    [ "$free_kb" -ge $needed_kb ] ||
        die "only $((free_kb / 1000)) MB free on ${ROOT:-/}" "a release needs $((needed_kb / 1000)) MB: free some"
}

# --- The release: a virtual environment with everything that the units need, named after what is in it.

sources() { # print the files that make up a release
    (cd "$SOURCE" && find pyproject.toml README.md LICENSE tremorscope runtime calibration export model configs docs \
        systemd -type f ! -name '*.pyc' ! -name '*.partial*' 2>/dev/null | LC_ALL=C sort)
}

libraries() { [ -z "$WHEELS" ] || (cd "$WHEELS" && find . -name '*.whl' | LC_ALL=C sort); }

name_release() {
    if [ -z "$WHEEL" ] && [ -e "$SOURCE/complete" ]; then # this script is part of an installed release
        RELEASE=$(basename "$SOURCE")
        return 0
    fi
    if [ -n "$WHEEL" ]; then
        version=$(basename "$WHEEL" | cut -d- -f2)
        digest=$( (sha256sum <"$WHEEL" && find "$HERE" -maxdepth 1 -type f -exec cat {} + && libraries) | sha256sum | cut -c1-8)
    else
        version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$SOURCE/pyproject.toml" | head -n 1)
        digest=$(sources | (cd "$SOURCE" && tr '\n' '\0' | xargs -0 sha256sum) | sha256sum | cut -c1-8)
    fi
    # Another JetPack, or TensorRT that has been installed since, makes it another release.
    python=$("$PYTHON" -I -c 'import sys; print(*sys.version_info[:2])')
    digest=$(echo "$digest $python $EXTRAS $SITE" | sha256sum | cut -c1-8)
    RELEASE="$version-$digest"
}

# A package brings pip along: a freshly flashed device lacks python3-venv, and the site may lack a network.
pip_of_wheels() { libraries | sed -n "s#^\./pip-#$WHEELS/pip-#p" | head -n 1; }

make_release() {
    target="$ROOT$OPT/releases/$RELEASE"
    [ ! -e "$target/complete" ] || return 0
    case $EXTRAS in *jetson*) [ -n "$LIBRARIES" ] || check_compiler ;; esac
    say "+ $OPT/releases/$RELEASE/ with tremorscope[$EXTRAS]${SITE:+, on top of the packages of the system}"
    [ -z "$DRY" ] || return 0
    rm -rf "$target" # what an interrupted installation left
    mkdir -p "$target"
    WORK=$(mktemp -d)
    UNUSED=$target # until it is switched to
    trap 'rm -rf "$WORK" ${UNUSED:+"$UNUSED"}' EXIT
    trap 'exit 130' INT TERM HUP
    fill_release || die "release $RELEASE could not be made" "see above; nothing was changed"
    touch "$target/complete"
    sync -f "$target" 2>/dev/null || sync
}

fill_release() {
    pip=$(pip_of_wheels)
    if [ -n "$LIBRARIES" ]; then
        # shellcheck disable=SC2086
        "$PYTHON" -m venv --without-pip $SITE "$target" || return 1
        (CDPATH='' cd -- "$LIBRARIES" && pwd -P) >"$(echo "$target"/lib/python3*/site-packages)/libraries.pth" || return 1
    else
        # shellcheck disable=SC2086
        "$PYTHON" -m venv ${pip:+--without-pip} $SITE "$target" || return 1
    fi
    what=$WHEEL
    if [ -z "$what" ]; then # a copy, because building leaves things behind
        what=$WORK/source
        mkdir "$what" && sources | (cd "$SOURCE" && tr '\n' '\0' | xargs -0 cp -p --parents -t "$what" &&
            find tremorscope -type l -exec cp -P --parents -t "$what" {} +) || return 1 # links to the stages
    fi
    set -- --quiet --disable-pip-version-check --no-input --no-cache-dir
    # Where the environment sees apt's setuptools, the pip of JetPack 6 (22.0) builds with those, which are too old, and
    # installs "UNKNOWN 0.0.0" without a word (pypa/pip issue 6264).
    [ -n "$LIBRARIES$WHEELS" ] || "$target/bin/python3" -m pip install "$@" 'pip>=23.1' || return 1
    [ -z "$WHEELS" ] || set -- "$@" --no-index --find-links "$WHEELS"
    # What apt has installed apt may take away: the release has its own.
    if [ -n "$LIBRARIES" ]; then set -- "$@" --no-deps --no-build-isolation; else set -- "$@" --ignore-installed; fi
    PYTHONPATH=$pip PIP_ROOT_USER_ACTION=ignore \
        "$target/bin/python3" -m pip install "$@" "${what}[$EXTRAS]" || return 1
    mkdir -p "$target/systemd" || return 1
    find "$HERE" -maxdepth 1 -type f -exec cp -p -t "$target/systemd" {} + || return 1
    for part in configs docs; do
        [ ! -d "$SOURCE/$part" ] || cp -r "$SOURCE/$part" "$target/" || return 1
    done
    tremorscope "$RELEASE" --version >/dev/null
}

# --- The system around it.

put_configuration() {
    make_directory "$ETC" 0755
    make_directory "$ETC/credentials" 0700
    for unit in $INSTANCES; do
        file=$(config_of "$unit")
        if [ ! -e "$ROOT$file" ]; then
            template=${CONFIG:-$ROOT$OPT/releases/$RELEASE/configs/demo.yaml}
            [ -n "$DRY" ] || [ -f "$template" ] || die "$template: there is no such file" "name one with --config"
            put_file "$template" "$file" 0644
        fi
    done
}

put_system_files() {
    from="$ROOT$OPT/releases/$RELEASE/systemd"
    [ -z "$DRY" ] || from=$HERE
    for file in $UNIT_FILES; do put_file "$from/$file" "$UNITS/$file" 0644; done
    put_file "$from/tremorscope.sysusers" /etc/sysusers.d/tremorscope.conf 0644
    put_file "$from/tremorscope.tmpfiles" /etc/tmpfiles.d/tremorscope.conf 0644
    put_file "$from/50-tremorscope.rules" /etc/polkit-1/rules.d/50-tremorscope.rules 0644
    if [ -n "$REBOOT" ]; then
        for file in $REBOOT_UNIT_FILES; do put_file "$from/$file" "$UNITS/$file" 0644; done
        put_file "$from/51-tremorscope-reboot.rules" /etc/polkit-1/rules.d/51-tremorscope-reboot.rules 0644
    fi
    # Of releases before: pauses that grew with every restart and never shrank again (RestartSteps=), and an order that
    # kept the service from starting at boot (see allow_jtop).
    for dropin in tremorscope.service.d/10-backoff tremorscope.service.d/30-jtop \
        tremorscope@.service.d/10-backoff tremorscope@.service.d/30-jtop; do
        [ ! -e "$ROOT$UNITS/$dropin.conf" ] || { CHANGED=yes && run rm -f "$ROOT$UNITS/$dropin.conf"; }
    done
    run systemd-sysusers ${ROOT:+"--root=$ROOT"} tremorscope.conf
    allow_jtop
    hasten_argus
    run systemd-tmpfiles ${ROOT:+"--root=$ROOT"} --create tremorscope.conf
}

put_launcher() {
    put_text "$LAUNCHER" 0755 '#!/bin/sh' "exec $OPT/current/bin/python3 -I -m tremorscope \"\$@\""
}

enable_units() {
    is_live && run systemctl daemon-reload
    helpers="tremorscope-revive.timer tremorscope-restart-argus.path"
    [ -z "$REBOOT" ] || helpers="$helpers tremorscope-reboot.path"
    # shellcheck disable=SC2086
    in_system enable $helpers $INSTANCES
    # shellcheck disable=SC2086
    if is_live; then run systemctl start $helpers; fi
}

prune_releases() {
    for directory in "$ROOT$OPT"/releases/*/; do
        name=$(basename "$directory")
        case $name in "$RELEASE" | "$(release_of previous)" | "*") continue ;; esac
        say "- $OPT/releases/$name"
        run rm -rf "$directory"
    done
}

switch_over() {
    before=$(release_of current)
    if [ -n "$before" ] && [ "$before" != "$RELEASE" ]; then put_link "releases/$before" "$OPT/previous"; fi
    put_link "releases/$RELEASE" "$OPT/current"
    UNUSED=
}

# Before anything is enabled: what does this device lack?
consult_doctor() {
    [ -n "$DOCTOR" ] && is_live && [ -z "$DRY" ] || return 0
    for unit in $INSTANCES; do
        tremorscope "$RELEASE" doctor --config "$(config_of "$unit")" ||
            die "the device lacks something that $(config_of "$unit") needs" \
                "mend it as said above, or go on with --ignore-doctor"
    done
}

start_or_go_back() {
    if start_instances; then return 0; fi
    if [ -n "$before" ] && [ "$before" != "$RELEASE" ]; then
        warn "release $RELEASE gave no frames: going back to $before"
        flock -u 9
        "$ROOT$OPT/releases/$before/systemd/upgrade.sh" --rollback || true
        die "release $RELEASE gave no frames; $before runs again" "journalctl -u 'tremorscope*' says why"
    fi
    die "the service gave no frames" "journalctl -u 'tremorscope*' says why; tremorscope doctor says what is missing"
}

check_surroundings
take_lock
name_release
for unit in $(enabled_instances); do
    case " $INSTANCES " in *" $unit "*) ;; *) INSTANCES="$INSTANCES $unit" ;; esac
done
# An upgrade enables nothing that was disabled.
[ -n "$INSTANCES" ] || [ -n "$(release_of current)" ] || INSTANCES=tremorscope.service
say "release $RELEASE"
make_release
put_configuration
[ -n "$DRY" ] || check_configurations "$RELEASE"
consult_doctor
put_system_files
put_launcher
switch_over
enable_units
prune_releases
if is_live && [ -n "$START" ]; then start_or_go_back; fi
say "done: release $RELEASE"
