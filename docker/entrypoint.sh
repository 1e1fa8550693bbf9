#!/usr/bin/env bash
# What a container runs.
#   head           makes the keys of the cluster if there are none, then serves as a node
#   node           waits for the keys, then lets the head in, by ssh
#   COMMAND ...    runs it
# /cluster is a folder that only the nodes share; in /cluster/hosts each node writes its address to a file of
# its name.
set -euo pipefail
cluster=${CLUSTER:-/cluster}

# The last file written means that all are there.
make_keys() {
  [ ! -e "$cluster/known_hosts" ] || return 0
  rm -f "$cluster"/{key,host_key}{,.pub}
  ssh-keygen -q -t ed25519 -N '' -C cluster -f "$cluster/key"
  ssh-keygen -q -t ed25519 -N '' -C cluster -f "$cluster/host_key"
  echo "* $(cut -d' ' -f1,2 "$cluster/host_key.pub")" >"$cluster/known_hosts.new"
  mv "$cluster/known_hosts.new" "$cluster/known_hosts"
}

await_keys() {
  local i
  for ((i = 0; i < 600; i++)); do
    [ ! -e "$cluster/known_hosts" ] || return 0
    sleep 0.1
  done
  echo "entrypoint: no keys in $cluster after a minute: is the head running, and is the folder shared with it?" >&2
  return 1
}

announce() {
  mkdir -p "$cluster/hosts"
  hostname -I | cut -d' ' -f1 >"$cluster/hosts/$(hostname)"
}

# It belongs to this user and serves only this user, so it needs no root. Files of a shared folder may have
# any owner and mode, hence StrictModes.
serve() {
  exec /usr/sbin/sshd -D -e -f /dev/null -p "${SSH_PORT:-2222}" -h "$cluster/host_key" -o "AuthorizedKeysFile=$cluster/key.pub" \
    -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no -o StrictModes=no -o UsePAM=no -o PidFile=none
}

case ${1:-} in
  head) make_keys && announce && serve ;;
  node) await_keys && announce && serve ;;
  *) exec "$@" ;;
esac
