#!/usr/bin/env bash
# tests/cluster/across.sh on containers of the image: brings a head and two nodes up, trains across them, compares with one rank, kills a node,
# goes on without it, and takes everything down.
#   docker/cluster_test.sh            with Docker Compose
#   docker/cluster_test.sh podman     without Docker: as root, the image of build_with_buildah.sh, the networks of tests/cluster/hosts.sh
set -euo pipefail
cd "$(dirname "$0")/.."
name=loradist$$

# until_true SECONDS COMMAND ...
until_true() {
  local i limit=$1 # seconds
  shift
  for ((i = 0; i < limit * 10; i++)); do
    "$@" && return
    sleep 0.1
  done
  echo "cluster_test: not within $limit s: $*" >&2
  return 1
}

# nodes_there HEAD: the head and both nodes have left their addresses, and the nodes' sshd answer.
# shellcheck disable=SC2086
nodes_there() {
  local node
  for node in "${names[@]:1}"; do $exec "$1" ssh "$node" true 2>/dev/null || return 1; done
}

# train_across: $exec NAME COMMAND runs in a container, $kill NAME kills it, $copy FROM NAME:TO copies into it; names[0] is the head.
# shellcheck disable=SC2086
train_across() {
  until_true 60 nodes_there "${names[0]}"
  $copy tests/golden/models/gpt2 "${names[0]}:/data/model"
  AT_FIRST="$exec ${names[0]}" KILL_HOST=$kill LORA_DIST=lora_dist MODEL=/data/model OUT=/data/runs \
    tests/cluster/across.sh "${names[@]}"
}

compose() {
  docker compose --project-name "$name" --file docker/compose.yaml "$@"
}

with_docker() {
  trap 'compose down --volumes --timeout 1' EXIT
  compose up --build --detach --scale node=2
  names=("$name-head-1" "$name-node-1" "$name-node-2")
  exec="docker exec" kill="docker kill" copy="docker cp"
  train_across
}

# The networks of hosts.sh have no names for containers: each is told those of the others.
start_podman() {
  local k role=head
  for k in 1 2 3; do
    podman run --detach --name "${names[k - 1]}" --hostname "${names[k - 1]}" --network "ns:/proc/$(cat "$HOSTS/h$k.pid")/ns/net" \
      --add-host "${names[0]}:10.78.0.1" --add-host "${names[1]}:10.78.0.2" --add-host "${names[2]}:10.78.0.3" \
      --volume "$name-cluster:/cluster" --volume "$name-data:/data" --shm-size 256m \
      --cgroups=disabled --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 lora_dist $role >/dev/null
    role=node
  done
}

end_podman() {
  podman rm --force --time 0 "${names[@]}" >/dev/null 2>&1 || true
  podman volume rm --force "$name-cluster" "$name-data" >/dev/null 2>&1 || true
  tests/cluster/hosts.sh down
}

# Podman cannot start where both versions of cgroups are mounted: it is shown the older ones alone.
with_podman() {
  . docker/storage.sh
  [ "${1:-}" = inside ] || exec unshare --mount --propagation private "$0" podman inside
  ! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
  export HOSTS=$WORK/hosts
  names=("$name-1" "$name-2" "$name-3")
  exec="podman exec" kill="podman kill" copy="podman cp"
  trap end_podman EXIT
  tests/cluster/hosts.sh up 3 --while $$
  start_podman
  train_across
}

case ${1:-docker} in
  docker) with_docker ;;
  podman) with_podman "${2:-}" ;;
  *) sed -n '2,6p' "$0"; exit 2 ;;
esac
