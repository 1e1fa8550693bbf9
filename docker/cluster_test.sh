#!/usr/bin/env bash
# tests/cluster/across.sh on containers of the image: starts a head and two nodes, trains across them,
# compares with one rank, kills a node, resumes without it, and removes everything.
#   docker/cluster_test.sh            with Docker Compose
#   docker/cluster_test.sh podman     without Docker: as root, the image of build_with_buildah.sh; needs podman, podman-compose, crun, netavark,
#                                     aardvark-dns and catatonit
set -euo pipefail
cd "$(dirname "$0")/.."
name=loradist$$
log=$(mktemp)

# until_true SECONDS COMMAND ...
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || { echo "cluster_test: it does not come to this: $*" >&2; return 1; }
    sleep 0.2
  done
}

# The containers of a service, by their short ids, which are their host names too. (Open MPI refuses names with an underscore.)
containers() {
  $engine ps --filter "label=com.docker.compose.project=$name" --filter "label=com.docker.compose.service=$1" --format '{{.ID}}' | cut -c1-12
}

# The head must reach both nodes.
nodes_there() {
  local node nodes
  read -r head <<<"$(containers head)"
  mapfile -t nodes < <(containers node)
  [ ${#nodes[@]} = 2 ] || return 1
  for node in "${nodes[@]}"; do $engine exec "$head" ssh "$node" true 2>/dev/null || return 1; done
  names=("$head" "${nodes[@]}")
}

compose() {
  $composer --project-name "$name" --file docker/compose.yaml "$@"
}

take_down() {
  compose down --volumes >"$log" 2>&1 || cat "$log"
  $engine network rm "${name}_default" >/dev/null 2>&1 || true # left by podman-compose
  rm -f "$log"
}

train_across() {
  trap take_down EXIT
  compose up "$build" --detach >"$log" 2>&1 || { cat "$log"; return 1; }
  until_true 60 nodes_there
  $engine cp tests/golden/models/gpt2 "${names[0]}:/data/model"
  AT_FIRST="$engine exec ${names[0]}" KILL_HOST="$engine kill" LORA_DIST=lora_dist MODEL=/data/model OUT=/data/runs \
    tests/cluster/across.sh "${names[@]}"
}

# Podman cannot start where both versions of cgroups are mounted, so it is shown only the older ones.
beside_podman() {
  . docker/storage.sh
  [ "${1:-}" = inside ] || { rm -f "$log" && exec unshare --mount --propagation private "$0" podman inside; }
  ! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
  export CONTAINERS_CONF=$WORK/containers.conf
  printf '%s\n' '[network]' 'network_backend = "netavark"' "network_config_dir = \"$WORK/networks\"" '[containers]' 'cgroups = "disabled"' \
    'default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]' >"$CONTAINERS_CONF"
}

case ${1:-docker} in
  docker) engine=docker composer="docker compose" build=--build ;;
  podman) beside_podman "${2:-}" && engine=podman composer=podman-compose build=--no-build ;;
  *) sed -n '2,7p' "$0"; exit 2 ;;
esac
train_across
