#!/usr/bin/env bash
# Several hosts on one machine: each has its own network, name, mounts and sshd, and a cable to one switch.
#   hosts.sh up N [MBIT] [--hide DIR] [--while PID]
#                                 hosts h1 .. hN; cables of MBIT Mbit/s each way; DIR is empty on all but h1; `down` when PID ends
#   hosts.sh on hK COMMAND ...    runs it there
#   hosts.sh run LIST ARG ...     mpirun on h1 over LIST (h1:2,h2:1), the rest of the line goes to mpirun
#   hosts.sh pids hK              what runs there, but for its sshd
#   hosts.sh cut hK | heal hK     pulls its cable, or puts it back
#   hosts.sh kill hK              SIGKILL to all that runs there, but for its sshd
#   hosts.sh down                 takes everything away
# What belongs to a set of hosts lies in $HOSTS (default: /run/lora_dist-hosts, where only root can write), and its namespaces have no names: sets
# with different $HOSTS stand side by side. Needs root, iproute2 and openssh-server; `up` ends with 77 where hosts cannot be made.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
hosts=${HOSTS:-/run/lora_dist-hosts}
net=10.78.0

usage() {
  sed -n '2,10p' "$0"
  exit 2
}

cannot() {
  echo "hosts: $*"
  exit 77
}

# pid_of NAME: the process that keeps the namespaces of a host (its sshd), or of the switch.
pid_of() {
  [ -f "$hosts/$1.pid" ] || { echo "hosts: there is no $1 in $hosts" >&2; exit 1; }
  cat "$hosts/$1.pid"
}

inside() {
  local pid
  pid=$(pid_of "$1")
  shift
  nsenter -t "$pid" --net "$@"
}

# Every process of a host is in its network namespace, whoever started it. What these find is killed by some callers, so a record that is
# gone, empty or of this very namespace must never match. find complains of processes that end while it looks.
pids_in() {
  local net
  net=$(cat "$hosts/$1.net" 2>/dev/null) || return 0
  [[ $net =~ ^net:\[[0-9]+\]$ && $net != "$(readlink /proc/self/ns/net)" ]] || return 0
  find /proc -maxdepth 3 -path '/proc/[0-9]*/ns/net' -printf '%l %p\n' 2>/dev/null | grep -F "$net " | cut -d/ -f3 || true
}

pids() {
  pids_in "$1" | grep -vx "$(pid_of "$1")" || true
}

# keep NAME COMMAND ...: starts what keeps the namespaces of NAME, and waits until it has become COMMAND.
keep() {
  local name=$1 pid
  shift
  setsid unshare --net --uts --mount "$@" </dev/null >"$hosts/$name.log" 2>&1 &
  pid=$!
  echo "$pid" >"$hosts/$name.pid"
  until [ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
  readlink "/proc/$pid/ns/net" >"$hosts/$name.net"
}

# In a host's namespaces, before its sshd. Shared memory and Open MPI's session folder are a host's own; Open MPI opens files of both.
boot() {
  local dir
  hostname "$1"
  mount --bind "$hosts/names" /etc/hosts
  for dir in /dev/shm "$hosts/tmp"; do mount -t tmpfs -o mode=1777 "$1" "$dir"; done
  [ "$1" = h1 ] || while read -r dir; do mount -t tmpfs "$1" "$dir"; done <"$hosts/hidden"
  ip link set lo up
  exec "$(command -v sshd)" -D -e -f "$hosts/sshd_config" -o "PidFile=$hosts/$1.listens"
}

make_keys() {
  ssh-keygen -q -t ed25519 -N '' -f "$hosts/key"
  ssh-keygen -q -t ed25519 -N '' -f "$hosts/host_key"
  install -m 600 "$hosts/key.pub" "$hosts/authorized_keys"
  printf '%s\n' "HostKey $hosts/host_key" "AuthorizedKeysFile $hosts/authorized_keys" 'PermitRootLogin prohibit-password' \
    'PasswordAuthentication no' 'StrictModes no' 'UsePAM no' >"$hosts/sshd_config"
  printf '%s\n' "IdentityFile $hosts/key" "UserKnownHostsFile $hosts/known_hosts" 'BatchMode yes' >"$hosts/ssh_config"
  echo '127.0.0.1 localhost' >"$hosts/names"
}

add_host() {
  local name=h$1 mbit=$2
  keep "$name" "$here/hosts.sh" boot "$name"
  inside switch ip link add "$name" type veth peer name eth0 netns "$(pid_of "$name")"
  inside switch ip link set "$name" master bridge up
  inside "$name" ip addr add "$net.$1/24" dev eth0
  inside "$name" ip link set eth0 up
  if [ -n "$mbit" ]; then
    inside switch tc qdisc add dev "$name" root tbf rate "${mbit}mbit" burst 64kb latency 50ms
    inside "$name" tc qdisc add dev eth0 root tbf rate "${mbit}mbit" burst 64kb latency 50ms
  fi
}

await_sshd() {
  local i
  for ((i = 0; i < 500; i++)); do
    [ ! -s "$hosts/h$1.listens" ] || return 0
    sleep 0.01
  done
  echo "hosts: sshd of h$1 does not listen: $(cat "$hosts/h$1.log")" >&2
  return 1
}

check_machine() {
  local tool
  [ "$(id -u)" = 0 ] || cannot "only root can make hosts"
  for tool in ip tc sshd ssh ssh-keygen unshare nsenter; do command -v $tool >/dev/null || cannot "$tool is missing"; done
  unshare --net --uts --mount true 2>/dev/null || cannot "no namespaces can be made here"
}

up() {
  local n='' mbit='' owner='' k
  local hidden=()
  while [ $# -gt 0 ]; do
    case $1 in
      --hide) hidden+=("$(realpath "$2")"); shift 2 ;;
      --while) owner=$2; shift 2 ;;
      *) if [ -z "$n" ]; then n=$1; else mbit=$1; fi; shift ;;
    esac
  done
  [[ $n =~ ^[1-9][0-9]*$ && $mbit =~ ^[0-9]*$ ]] || usage
  check_machine
  [ ! -e "$hosts" ] || { echo "hosts: $hosts is there already; \`down\` first" >&2; exit 1; }
  mkdir -m 700 "$hosts" # fails when somebody has made it meanwhile
  mkdir -p "$hosts/tmp" /run/sshd # without the latter sshd does not start
  hosts=$(realpath "$hosts")
  export HOSTS=$hosts
  trap '"$here/hosts.sh" down' ERR
  printf '%s\n' ${hidden[@]+"${hidden[@]}"} | sed '/^$/d' >"$hosts/hidden"
  make_keys
  for ((k = 1; k <= n; k++)); do
    echo "$net.$k h$k" >>"$hosts/names"
    echo "h$k,$net.$k $(cut -d' ' -f1,2 "$hosts/host_key.pub")" >>"$hosts/known_hosts"
  done
  keep switch sleep infinity
  inside switch ip link add bridge type bridge
  inside switch ip link set bridge up
  for ((k = 1; k <= n; k++)); do add_host "$k" "$mbit"; done
  for ((k = 1; k <= n; k++)); do await_sshd "$k"; done
  [ -z "$owner" ] || (setsid "$here/hosts.sh" outlive "$owner" </dev/null >/dev/null 2>&1 &)
}

# Becomes the command, so that its caller's $! is the command's process.
on() {
  local pid
  pid=$(pid_of "$1")
  shift
  export OMPI_MCA_plm_rsh_agent="ssh -F $hosts/ssh_config" OMPI_MCA_orte_tmpdir_base=$hosts/tmp
  export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp # as between hosts with nothing but Ethernet
  exec nsenter -t "$pid" --net --uts --mount --wdns="$PWD" "$@"
}

run() {
  local list=$1
  shift
  # shellcheck source=jobs/mpi.sh
  . "$here/../../jobs/mpi.sh"
  on h1 mpirun --host "$list" --bind-to none -x OPENBLAS_NUM_THREADS "$@" # as on_hosts does
}

# The kernel takes up to a second to see that a cable is back.
heal() {
  local i
  inside switch ip link set "$1" up
  for ((i = 0; i < 500; i++)); do
    ! inside "$1" ip -br link show dev eth0 | grep -q ' UP ' || return 0
    sleep 0.01
  done
  echo "hosts: the cable of $1 stays down" >&2
  return 1
}

# A process may start another while it is being killed, so look again.
kill_all() {
  local which=$1 host=$2 all
  while all=$($which "$host") && [ -n "$all" ]; do
    # shellcheck disable=SC2086
    kill -9 $all 2>/dev/null || true
    sleep 0.01
  done
}

down() {
  local file name
  for file in "$hosts"/*.net; do
    [ -f "$file" ] || continue
    name=$(basename "$file" .net)
    kill_all pids_in "$name"
  done
  [ ! -f "$hosts/names" ] || rm -rf "$hosts"
}

# Whatever ends the owner, SIGKILL too.
outlive() {
  tail --pid="$1" -f /dev/null
  down
}

[ $# -gt 0 ] || usage
command=$1
shift
case $command in
  up | on | run | boot | outlive) "$command" "$@" ;;
  pids) pids "$1" ;;
  cut) inside switch ip link set "$1" down ;;
  heal) heal "$1" ;;
  kill) kill_all pids "$1" ;;
  down) down ;;
  *) usage ;;
esac
