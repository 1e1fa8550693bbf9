#!/usr/bin/env bash
# across.sh on hosts of this machine, of which only the first has the model, the data and the runs: the same adapter on 1 to 3 hosts, and
# through the death of one. (In cut.sh all hosts see the files.)
. "$(dirname "$0")/lib.sh"

mkdir apart apart/runs
cp -r "$models/gpt2" apart/model
make_hosts set 3 --hide "$scratch/apart"
export HOSTS=$scratch/hosts.set
[ -z "$("$cluster/hosts.sh" on h2 ls "$scratch/apart")" ] || fail "h2 sees the files of h1"
AT_FIRST="$cluster/hosts.sh on h1" KILL_HOST="$cluster/hosts.sh kill" MODEL=$scratch/apart/model OUT=$scratch/apart/runs LORA_DIST=$LORA_DIST \
  "$cluster/across.sh" h1 h2 h3
