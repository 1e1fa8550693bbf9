#!/usr/bin/env bash
# Installs the Debian packages that the build needs, and any others given as arguments. Skips installed ones;
# uses sudo when not root.
#   jobs/setup.sh [more packages ...]
set -euo pipefail

packages="build-essential cmake ninja-build pkg-config libopenmpi-dev openmpi-bin libopenblas-dev libhdf5-dev
  libjansson-dev libpcre2-dev libutf8proc-dev libyaml-dev libpng-dev libjpeg-dev libwebp-dev zlib1g-dev
  libzstd-dev libxxhash-dev"

missing=
for package in $packages "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "setup: these packages are missing, and there is no sudo to install them:$missing" >&2; exit 1; }
  as_root=sudo
fi
echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive

# No package may start a daemon here: nobody asked for an sshd on this machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap '$as_root rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
  $as_root chmod 755 $policy
fi
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
