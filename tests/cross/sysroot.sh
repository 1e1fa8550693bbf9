#!/usr/bin/env bash
# Unpacks Debian's arm64 packages, those that the build and the tests need, into a folder for aarch64.cmake.
#   tests/cross/sysroot.sh FOLDER        FOLDER must not exist; 0.4 GB
# Nothing is installed, and neither dpkg nor apt of this machine learns of another architecture: arm64's libopenmpi-dev would remove this
# machine's. Needs no root.
set -euo pipefail
sysroot=${1:?FOLDER is missing}
[ ! -e "$sysroot" ] || { echo "$sysroot exists" >&2; exit 1; }
packages=(libc6-dev libgomp1 libopenmpi-dev libopenblas-dev libhdf5-dev libjansson-dev libpcre2-dev libutf8proc-dev
  libyaml-dev libpng-dev libjpeg-dev libwebp-dev zlib1g-dev libzstd-dev libxxhash-dev libcriterion-dev)
programs=(gcc gcc-12 cpp-12 gfortran gfortran-12 binutils perl perl-base dpkg debconf autoconf automake autotools-dev libtool openssh-client)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch" "$sysroot.part"' EXIT
mkdir -p "$scratch"/{lists,archives}/partial "$sysroot.part"

# A machine of that architecture with the programs that packages of libraries ask for, and nothing else.
for program in "${programs[@]}"; do
  printf '%s\n' "Package: $program" 'Status: install ok installed' 'Version: 999' 'Architecture: arm64' 'Maintainer: -' 'Description: -' ''
done >"$scratch/status"
arm_apt() {
  apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State="$scratch" -o Dir::State::status="$scratch/status" \
    -o Dir::Cache="$scratch" -o APT::Sandbox::User="$(id -un)" -o APT::Install-Recommends=no "$@"
}
arm_apt update
arm_apt install -y --download-only "${packages[@]}"
for archive in "$scratch"/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$archive" | tar -x -C "$sysroot.part" --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./etc'
done

# Alternatives, by which Debian names the BLAS library, are made by scripts of the packages, which do not run here.
lib=$sysroot.part/usr/lib/aarch64-linux-gnu
for name in libopenblas.so libopenblas.so.0 libblas.so.3 liblapack.so.3; do ln -sf "openblas-pthread/$name" "$lib/$name"; done
ln -sf ../openblas-pthread/pkgconfig/openblas.pc "$lib/pkgconfig/openblas.pc"
find "$sysroot.part" -type l -lname '/*' -printf '%p %l\n' | while read -r link to; do ln -sfr "$sysroot.part$to" "$link"; done
mv "$sysroot.part" "$sysroot"
