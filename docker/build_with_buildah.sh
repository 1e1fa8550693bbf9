#!/usr/bin/env bash
# Builds and tries the image without Docker and without pulling an image: debootstrap makes the base, buildah
# builds and runs.
#   docker/build_with_buildah.sh image    the base, then all stages of the Dockerfile, tests too; then the quickstart's training in the image, on 2
#                                         ranks, as its user
#   docker/build_with_buildah.sh bare     no image: the README's two commands on a Debian fresh from debootstrap, as root
# Needs root and the packages debootstrap and buildah. Everything is stored in $WORK (docker/storage.sh);
# delete it to start again.
set -euo pipefail
cd "$(dirname "$0")/.."
. docker/storage.sh
base=$WORK/base

said() {
  echo "== $1 ($((SECONDS - since)) s)"
  since=$SECONDS
}
since=$SECONDS

# This machine's settings for apt, such as a proxy, are available to the build but not kept in the result.
lend=()
[ ! -d /etc/apt/apt.conf.d ] || lend=(--volume /etc/apt/apt.conf.d:/etc/apt/apt.conf.d:ro)

make_base() {
  [ ! -d "$base" ] || return 0
  debootstrap --variant=minbase bookworm "$base.new" >"$WORK/debootstrap.log" 2>&1 || { tail "$WORK/debootstrap.log"; return 1; }
  rm -rf "$base.new"/var/cache/apt/* "$base.new"/var/lib/apt/lists/*
  mv "$base.new" "$base"
  said "a bare Debian"
}

import_base() {
  local container
  ! buildah inspect --type image bare-debian >/dev/null 2>&1 || return 0
  container=$(buildah from scratch)
  buildah copy --quiet "$container" "$base" / >/dev/null
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit --quiet --rm "$container" bare-debian >/dev/null
  said "the base as an image"
}

# build TAG [OPTION ...]
build() {
  local tag=$1
  shift
  buildah bud --layers --isolation chroot --pull-never --build-arg BASE=bare-debian "${lend[@]}" \
    --file docker/Dockerfile --tag "$tag" "$@" . >"$WORK/$tag.log" 2>&1 || { tail -n 40 "$WORK/$tag.log"; return 1; }
  said "image $tag"
}

# quickstart: runs the training of jobs/quickstart.sh in the image, as its user.
quickstart() {
  local container status=0
  container=$(buildah from --pull-never lora_dist)
  buildah run --isolation chroot --volume "$PWD/jobs/quickstart:/quickstart:ro" "$container" -- bash -c '
    set -e
    [ "$(id -un)" = trainer ]
    [ ! -e /usr/bin/cc ]
    grep -q "^oob_tcp_keepalive_time = " /etc/openmpi/openmpi-mca-params.conf
    mpirun -np 2 --oversubscribe --bind-to none lora_dist train --config /quickstart/train.yaml --model /quickstart/base \
      --data /quickstart/train.jsonl --valid /quickstart/valid.jsonl --out /data/run
    lora_dist generate --model /quickstart/base --adapter /data/run --prompt "Once upon a time" --max-tokens 60' || status=$?
  buildah rm "$container" >/dev/null
  [ $status = 0 ] || { echo "the quickstart in the image: status $status"; return 1; }
  said "the quickstart in the image"
}

image() {
  make_base
  import_base
  build lora_dist-test --target test
  grep -E 'tests passed|Total Test time' "$WORK/lora_dist-test.log" || echo "the tests have passed before, and nothing has changed"
  build lora_dist --target runtime
  buildah images
  quickstart
}

# in_bare COMMAND: runs it in the bare Debian, whose mounts and processes end with the command.
in_bare() {
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child sh -c 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" &&
    mount -t tmpfs tmpfs "$1/dev/shm" && exec chroot "$1" env -i HOME=/srv PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c "$2"' \
    - "$WORK/bare" "cd /srv/lora_dist && $1"
}

# The tree as committed.
bare() {
  make_base
  rm -rf "$WORK/bare"
  cp -a "$base" "$WORK/bare"
  cp /etc/resolv.conf /etc/hosts "$WORK/bare/etc/"
  [ ! -d /etc/apt/apt.conf.d ] || cp -r /etc/apt/apt.conf.d "$WORK/bare/etc/apt/"
  mkdir "$WORK/bare/srv/lora_dist"
  git archive HEAD | tar -x -C "$WORK/bare/srv/lora_dist"
  said "a copy of it with the tree"
  in_bare jobs/quickstart.sh >"$WORK/quickstart.log" 2>&1 || { tail -n 40 "$WORK/quickstart.log"; return 1; }
  sed -n '/^== after/,$p' "$WORK/quickstart.log"
  said jobs/quickstart.sh
  in_bare tests/run.sh >"$WORK/tests.log" 2>&1 || { grep -E 'Failed|FAIL|tests passed' "$WORK/tests.log"; return 1; }
  grep -E 'Skipped|tests passed|Total Test time' "$WORK/tests.log"
  said tests/run.sh
}

case ${1:-} in
  image) image ;;
  bare) bare ;;
  *) sed -n '2,6p' "$0"; exit 2 ;;
esac
