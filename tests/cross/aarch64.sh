#!/usr/bin/env bash
# Builds for 64-bit ARM on another Debian machine, with warnings as errors, and runs the unit tests under qemu.
#   tests/cross/aarch64.sh [--register] [CTEST ARGUMENT ...]
# Needs gcc-aarch64-linux-gnu and qemu-user. Debian's arm64 packages are unpacked into WORK (default: build-aarch64), 1.5 GB; nothing is
# installed, since arm64's libopenmpi-dev would remove this machine's. Criterion starts each test as a program of its own, so the kernel must
# know what runs ARM programs (qemu-user-binfmt, or as root: --register, until the next boot); where it does not, this ends after the build.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${WORK:-$root/build-aarch64}
sysroot=$work/sysroot
lib=$sysroot/usr/lib/aarch64-linux-gnu
packages="libc6-dev libgcc-12-dev libopenmpi-dev libopenblas-dev libhdf5-dev libcriterion-dev libjansson-dev libpcre2-dev libutf8proc-dev
  libyaml-dev libpng-dev libjpeg-dev libwebp-dev zlib1g-dev libxxhash-dev libgomp1"

binfmt=/proc/sys/fs/binfmt_misc
register() {
  [ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt
  printf "%s%s" ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00' \
    ':\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64:OF' >$binfmt/register
}
if [ "${1:-}" = --register ]; then
  [ -e $binfmt/qemu-aarch64 ] || register
  shift
fi

for program in aarch64-linux-gnu-gcc qemu-aarch64; do
  command -v $program >/dev/null || { echo "$program is missing: apt-get install gcc-aarch64-linux-gnu qemu-user" >&2; exit 1; }
done

# apt with lists, cache and status of its own: a machine of that architecture on which nothing is installed.
arm_apt() {
  apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State="$work/apt" -o Dir::State::status="$work/apt/status" \
    -o Dir::Cache="$work/apt" -o APT::Sandbox::User=root -o APT::Install-Recommends=no "$@"
}

# Alternatives, by which Debian names the BLAS library and mpi.h's folder, are made by scripts of the packages, which do not run here.
make_sysroot() {
  mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$sysroot"
  : >"$work/apt/status"
  arm_apt update
  # shellcheck disable=SC2086
  arm_apt install -y --download-only $packages
  local archive
  for archive in "$work"/apt/archives/*.deb; do dpkg-deb -x "$archive" "$sysroot"; done
  ln -sf openblas-pthread/libopenblas.so.0 "$lib/libopenblas.so.0"
  ln -sf openblas-pthread/libblas.so.3 "$lib/libblas.so.3"
  ln -sf openblas-pthread/liblapack.so.3 "$lib/liblapack.so.3"
  ln -sf openblas-pthread/libopenblas.so "$lib/libopenblas.so"
  ln -sf ../openblas-pthread/pkgconfig/openblas.pc "$lib/pkgconfig/openblas.pc"
  rm -rf "$work/apt"
  touch "$sysroot/complete"
}
[ -e "$sysroot/complete" ] || make_sysroot

export PKG_CONFIG_SYSROOT_DIR=$sysroot PKG_CONFIG_PATH='' \
  PKG_CONFIG_LIBDIR=$lib/pkgconfig:$sysroot/usr/share/pkgconfig
export LD_SYSROOT=$sysroot
cmake -S "$root" -B "$work/build" -G Ninja --toolchain "$root/tests/cross/aarch64.cmake" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLD_WERROR=ON \
  -DBUILD_TESTING=ON >/dev/null
cmake --build "$work/build"
[ -e $binfmt/qemu-aarch64 ] || { echo "built; the kernel does not start ARM programs, so no test is run" >&2; exit 77; }
export QEMU_LD_PREFIX=$sysroot
[ $# -gt 0 ] || set -- -R '^unit/'
export OPENBLAS_NUM_THREADS=1
ctest --test-dir "$work/build" --output-on-failure --no-tests=error --timeout 1800 "$@"
