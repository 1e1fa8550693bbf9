#!/usr/bin/env bash
# across.sh on hosts of this machine: the same adapter on 1 to 3 hosts, and through the death of one.
. "$(dirname "$0")/lib.sh"

make_hosts set 3
export HOSTS=$scratch/hosts.set
AT_FIRST="$cluster/hosts.sh on h1" KILL_HOST="$cluster/hosts.sh kill" MODEL=$models/gpt2 OUT=$scratch/runs LORA_DIST=$LORA_DIST \
  "$cluster/across.sh" h1 h2 h3
