# packages.sh - sourced by quickstart and check: install the Debian packages that are missing, and say so.

build_packages="gcc libc6-dev cmake ninja-build pkg-config libopenmpi-dev openmpi-bin libhwloc-dev librandom123-dev
    libyaml-dev libjansson-dev libhdf5-dev libzip-dev zlib1g-dev libonnx-dev protobuf-c-compiler libprotobuf-c-dev
    libsqlite3-dev"
test_packages="$build_packages clang libclang-rt-14-dev libcmocka-dev libmpich-dev mpich
    dataset-fashion-mnist python3 shellcheck libsimgrid-dev"
run_packages="$build_packages dataset-fashion-mnist"

need_packages() {
    missing=""
    for p in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -q '^installed' || missing="$missing $p"
    done
    [ -z "$missing" ] && return 0
    echo "Installing Debian packages:$missing"
    as_root=""
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || { echo "Not root and no sudo: install these packages first." >&2; exit 1; }
        as_root=sudo
    fi
    $as_root apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
