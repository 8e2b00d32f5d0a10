#!/bin/sh
# Makes a Debian package with everything that a site needs: the kit, its libraries as wheels, units and scripts.
set -eu
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../lib.sh"

usage() {
    cat <<'END'
Usage: build.sh [OPTIONS]

Writes tremorscope_VERSION+pyX.Y_ARCHITECTURE.deb. Its libraries are those of one Python, X.Y, which the device must have:
3.10 on JetPack 6, 3.12 on JetPack 7, 3.11 on Debian 12. Wheels are fetched here, so that the site needs no network.
PyCUDA has no wheels: it is compiled here where CUDA is, and left out elsewhere. So build on a Jetson for Jetsons.

  --python PROGRAM   Python of the version that the device has.  [default: python3]
  --arch ARCH        arm64 or amd64; for another than this machine's PyCUDA is left out.  [default: this machine's]
  --without-cuda     Leave PyCUDA out in any case.
  --output DIR       [default: out]
  -h, --help         Show this and end.
END
}

PYTHON=python3 OUTPUT=out CUDA=yes ARCH=
while [ $# -gt 0 ]; do
    case $1 in --python | --arch | --output) argument_of "$1" $# ;; esac
    case $1 in
    --python) PYTHON=$2 && shift ;;
    --arch) ARCH=$2 && shift ;;
    --output) OUTPUT=$2 && shift ;;
    --without-cuda) CUDA= ;;
    -h | --help) usage && exit 0 ;;
    *) die "$1: no such option" "see $PROGRAM --help" ;;
    esac
    shift
done

SOURCE=$(CDPATH='' cd -- "$HERE/../.." && pwd -P)
CUDA_ROOT=${CUDA_ROOT:-/usr/local/cuda}

check_surroundings() {
    command -v dpkg-deb >/dev/null || die "there is no dpkg-deb" "build on Debian or Ubuntu, or: apt install dpkg"
    native=$(dpkg --print-architecture)
    ARCH=${ARCH:-$native}
    case $ARCH in
    arm64) platform=aarch64 ;;
    amd64) platform=x86_64 ;;
    *) die "--arch $ARCH: no architecture that tremorscope runs on" "take arm64 or amd64" ;;
    esac
    "$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' 2>/dev/null ||
        die "$PYTHON is not Python 3.10, 3.11 or 3.12" "name one with --python"
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
        die "$PYTHON cannot make virtual environments" "apt install python3-venv"
    python=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    mkdir -p "$OUTPUT" 2>/dev/null || die "--output $OUTPUT: cannot be made" "check the path"
    # Sources without a history date from when they were unpacked.
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$SOURCE" log -1 --format=%ct 2>/dev/null || stat -c %Y "$SOURCE/pyproject.toml")}
    export SOURCE_DATE_EPOCH
}

pip() { # COMMAND ARGUMENTS...
    command=$1
    shift
    "$WORK/venv/bin/python" -m pip "$command" -qq --disable-pip-version-check --no-input "$@"
}

# --- Wheels: the kit, what it needs, and pip to install them with.

build_kit() {
    mkdir "$WORK/source" # a copy, because building leaves things behind
    (cd "$SOURCE" && cp -r pyproject.toml README.md LICENSE tremorscope runtime calibration export model "$WORK/source") ||
        return 1
    pip wheel --no-deps --wheel-dir "$wheels" "$WORK/source"
}

build_pycuda() {
    extras=service
    if [ -z "$CUDA" ] || [ "$ARCH" != "$native" ] || [ ! -x "$CUDA_ROOT/bin/nvcc" ]; then
        warn "without PyCUDA, which is compiled on a machine of the device's kind: no engine will run"
        return 0
    fi
    extra=jetson
    case $python in 3.10) extra=jetson6 ;; 3.12) extra=jetson7 ;; esac
    extras=service,$extra
    say "compiling PyCUDA, which takes minutes"
    compile_pycuda >"$WORK/pycuda.log" 2>&1 && return 0
    tail -n 20 "$WORK/pycuda.log" >&2
    die "PyCUDA could not be compiled" "mend it as said above, or leave it out with --without-cuda"
}

compile_pycuda() {
    pip download --no-deps --no-binary pycuda --dest "$WORK" pycuda || return 1
    mkdir "$WORK/pycuda" && tar -xzf "$WORK"/pycuda-*.tar.gz --strip-components 1 -C "$WORK/pycuda" || return 1
    # Random numbers and OpenGL are not used, and cuRAND may not be installed.
    printf '%s\n' "CUDA_ROOT = '$CUDA_ROOT'" 'CUDA_ENABLE_CURAND = False' 'CUDA_ENABLE_GL = False' >"$WORK/pycuda/siteconf.py"
    PATH="$CUDA_ROOT/bin:$PATH" pip wheel --no-deps --wheel-dir "$wheels" "$WORK/pycuda"
}

fetch_libraries() {
    set -- --only-binary=:all: --implementation cp --python-version "$python" --platform "linux_$platform"
    for minor in $(seq 17 35); do set -- "$@" --platform "manylinux_2_${minor}_$platform"; done # JetPack 6 has glibc 2.35
    pip download "$@" --platform "manylinux2014_$platform" --find-links "$wheels" --dest "$wheels" \
        "$(echo "$wheels"/tremorscope-*.whl)[$extras]" pip
}

# --- The package around them.

fill_package() {
    install -d "$inside/systemd" "$tree/DEBIAN" "$tree/usr/share/doc/tremorscope"
    install -D -m 0644 "$HERE/lintian-overrides" "$tree/usr/share/lintian/overrides/tremorscope"
    find "$SOURCE/systemd" -maxdepth 1 -type f -exec cp -p -t "$inside/systemd" {} +
    cp -r "$SOURCE/configs" "$SOURCE/docs" "$inside/"
    cp "$HERE/copyright" "$tree/usr/share/doc/tremorscope/"
    printf 'tremorscope (%s) stable; urgency=medium\n\n  * See CHANGELOG.md of the sources.\n\n -- %s  %s\n' \
        "$version" "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" |
        gzip -9n >"$tree/usr/share/doc/tremorscope/changelog.gz"
    for script in postinst prerm postrm; do
        sed -e "/@LIB@/{r $SOURCE/systemd/lib.sh" -e 'd}' "$HERE/$script" >"$tree/DEBIAN/$script"
    done
    find "$tree" -type d -exec chmod 0755 {} +
    find "$tree" -type f -perm /0111 -exec chmod 0755 {} +
    find "$tree" -type f ! -perm /0111 -exec chmod 0644 {} +
    chmod 0755 "$tree/DEBIAN"/p*
    after=$("$PYTHON" -c 'import sys; print("%d.%d" % (sys.version_info[0], sys.version_info[1] + 1))')
    sed -e "s/@VERSION@/$version/; s/@ARCH@/$ARCH/; s/@PYTHON@/$python/; s/@AFTER@/$after/; s|@MAINTAINER@|$maintainer|" \
        -e "s/@SIZE@/$(du -sk "$tree/usr" | cut -f1)/" -e "s/^#$ARCH //; /^#/d" "$HERE/control" >"$tree/DEBIAN/control"
    (cd "$tree" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
}

check_surroundings
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM HUP
tree=$WORK/tree
inside=$tree/usr/lib/tremorscope
wheels=$inside/wheels
mkdir -p "$wheels"
"$PYTHON" -m venv "$WORK/venv"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$SOURCE/pyproject.toml" | head -n 1)+py$python
maintainer="${DEBFULLNAME:-tremorscope} <${DEBEMAIL:-tremorscope@localhost}>"
build_kit || die "the kit's wheel could not be built" "see above"
build_pycuda
fetch_libraries || die "its libraries could not be fetched" "see above; this machine needs a network, or pip's find-links"
fill_package
package=tremorscope_${version}_$ARCH.deb
# Wheels are compressed already.
dpkg-deb --root-owner-group --uniform-compression -Zgzip -z1 --build "$tree" "$WORK/$package" >/dev/null
mv -f "$WORK/$package" "$OUTPUT/$package.partial" && mv -f "$OUTPUT/$package.partial" "$OUTPUT/$package"
say "$OUTPUT/$package"
