# What install.sh takes of the system, by JetPack; to be sourced after lib.sh, POSIX sh.
# shellcheck shell=sh disable=SC2034,SC2154

# Release of Jetson Linux, e.g. 36.4.3; nothing where this is no Jetson.
l4t_release() {
    sed -n 's/^# R\([0-9]*\) (release), REVISION: \([0-9.]*\).*/\1.\2/p' "$ROOT/etc/nv_tegra_release" 2>/dev/null || true
}

# Whether a module can be imported, by the line that tells it: some libraries abort when they are unloaded.
can_import() { # MODULE
    said=$("$PYTHON" -I -c "import $1; print('\ntremorscope imported it', flush=True)" 2>/dev/null) || true
    case $said in *"tremorscope imported it"*) ;; *) return 1 ;; esac
}

# TensorRT belongs to JetPack: a virtual environment sees it only with the system's packages.
sees_tensorrt() {
    said=$("$PYTHON" -I -c 'import importlib.util; print(importlib.util.find_spec("tensorrt") is not None)' 2>/dev/null)
    [ "$said" = True ]
}

choose_libraries() { # EXTRAS of pyproject.toml, and SITE where the system's packages are to be seen
    EXTRAS=service SITE=
    if [ -n "$l4t" ] || sees_tensorrt || can_import gi; then SITE=--system-site-packages; fi
    if sees_tensorrt; then
        case $l4t in
        '') EXTRAS=service,jetson ;;   # another computer with an NVIDIA GPU
        36.*) EXTRAS=service,jetson6 ;; # CUDA 12
        *) EXTRAS=service,jetson7 ;;    # CUDA 13
        esac
        if [ -n "$WHEELS" ] && ! libraries | grep -qi '^\./pycuda-'; then
            EXTRAS=service
            warn "PyCUDA is not in $WHEELS: frames will be magnified on the CPU"
        fi
    elif [ -n "$l4t" ]; then
        warn "TensorRT is not installed, so frames will be magnified on the CPU: apt install nvidia-jetpack, and run this again"
    fi
}

# PyCUDA is compiled here, unless its wheel is at hand.
check_compiler() {
    for wheel in ${WHEELS:+"$WHEELS"/pycuda-*.whl}; do [ ! -f "$wheel" ] || return 0; done
    headers=$("$PYTHON" -I -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
    lacking=
    command -v nvcc >/dev/null || lacking=" $([ -n "$l4t" ] && echo nvidia-jetpack || echo nvidia-cuda-toolkit)"
    [ -f "$headers/Python.h" ] || lacking="$lacking python3-dev"
    command -v g++ >/dev/null || lacking="$lacking build-essential"
    [ -z "$lacking" ] || die "PyCUDA cannot be compiled here" "apt install$lacking"
}

# Whether jetson-stats is there, whose socket is its group's alone.
has_jtop() {
    grep -qs '^jtop:' "$ROOT/etc/group" || return 1
    for place in /etc/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
        [ ! -e "$ROOT$place/jtop.service" ] || return 0
    done
    return 1
}

# Let the service ask jetson-stats. The group comes by membership, not by SupplementaryGroups=: a group that goes with
# jetson-stats would keep the service from starting (status 216). Nor does it start after jtop.service, which starts after
# multi-user.target (jetson_stats issue 765) and so after us: systemd would break that circle by not starting us at boot.
allow_jtop() {
    if has_jtop; then
        put_text "$JTOP_SYSUSERS" 0644 '# Written by install.sh, for the socket of jetson-stats.' 'm tremorscope jtop'
        run systemd-sysusers ${ROOT:+"--root=$ROOT"} "$(basename "$JTOP_SYSUSERS")"
    else
        remove "$JTOP_SYSUSERS"
    fi
}

# A wedged nvargus-daemon may ignore SIGTERM: systemd's 90 s for stopping would keep cameras dark for as long, and a process
# that starts meanwhile binds to the one that is dying.
hasten_argus() {
    dropin="$UNITS/nvargus-daemon.service.d/50-tremorscope.conf"
    for place in /etc/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
        if [ -e "$ROOT$place/nvargus-daemon.service" ]; then
            put_text "$dropin" 0644 '# Written by install.sh of tremorscope.' '[Service]' 'TimeoutStopSec=5'
            return 0
        fi
    done
    remove "$dropin"
}
