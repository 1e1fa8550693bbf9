#!/usr/bin/env bash
# The scripts of jobs/ under a real Slurm: the same adapter by mpirun and by srun as on one rank, through the time limit, through signals,
# the death of a rank and of a node; a sweep and its table.
#   tests/cluster/slurm.sh        both launchers, a signal, the sweep
#   tests/cluster/slurm.sh all    the time limit, crashes and scancel too: some minutes
#
# Starts a Slurm of its own on two hosts of hosts.sh, with its own key, sockets and folders; one that the machine runs is not touched. Needs
# root, slurm-wlm and munge, which tests/run.sh does not install; skipped without them.
export PATH=$PATH:/usr/sbin:/sbin
for program in slurmctld slurmd sbatch srun munged; do
  command -v "$program" >/dev/null || { echo "skipped: $program is not installed (apt-get install slurm-wlm munge)"; exit 77; }
done
hosts_sh=$(cd "$(dirname "$0")" && pwd)/hosts.sh
. "$(dirname "$0")/../runs/lib.sh"
unset "${!SLURM_@}" "${!SBATCH_@}" "${!SRUN_@}"

slurm=$scratch/slurm
export HOSTS=$scratch/hosts SLURM_CONF=$slurm/slurm.conf
daemons=()

on() {
  "$hosts_sh" on "$@"
}

# A requeued job may start again after the life of its credentials and KillWait, which is why both are short.
conf() {
  cat <<END
ClusterName=test
SlurmctldHost=h1
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$slurm/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/%n.spool
TmpFS=$slurm/%n.tmp
SlurmctldPidFile=$slurm/ctld.pid
SlurmdPidFile=$slurm/%n.pid
SlurmctldLogFile=$slurm/ctld.log
SlurmdLogFile=$slurm/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MailProg=/bin/true
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=9
KillWait=5
NodeName=h1,h2 CPUs=2 RealMemory=2000
PartitionName=main Nodes=h1,h2 Default=YES MaxTime=INFINITE
END
}

daemon() {
  "$@" >>"$slurm/daemons.log" 2>&1 &
  daemons+=($!)
}

node_up() {
  mkdir -p "$slurm/$1.spool" "$slurm/$1.tmp"
  daemon on "$1" slurmd -D -N "$1"
}

slurm_up() {
  local code=0
  "$hosts_sh" up 2 --while $$ || code=$?
  [ "$code" = 0 ] || exit "$code"
  mkdir "$slurm" "$slurm/state"
  conf >"$SLURM_CONF"
  (umask 077 && head -c 1024 /dev/urandom >"$slurm/munge.key")
  daemon munged --foreground --force --key-file "$slurm/munge.key" --socket "$slurm/munge.socket" \
    --pid-file "$slurm/munged.pid" --log-file "$slurm/munged.log" --seed-file "$slurm/munged.seed"
  until_true 10 test -S "$slurm/munge.socket"
  daemon on h1 slurmctld -D
  started=$(date +%s)
  node_up h1
  node_up h2
  until_true 20 idle || { tail -n 20 "$slurm"/*.log; fail "Slurm does not start"; exit 1; }
}

idle() {
  [ "$(on h1 sinfo -h -t idle -o %D 2>/dev/null)" = 2 ]
}

slurm_down() {
  [ -f "$SLURM_CONF" ] || return
  on h1 scancel --user=root --quiet 2>/dev/null
  until_true 10 no_jobs
  kill "${daemons[@]}" 2>/dev/null
  wait "${daemons[@]}" 2>/dev/null
  "$hosts_sh" down
}

no_jobs() {
  [ -z "$(on h1 squeue -h 2>/dev/null)" ]
}

finish() {
  local code=$?
  [ "$failures" -eq 0 ] || [ -z "${KEEP_LOGS:-}" ] || cp -r "$scratch" "$KEEP_LOGS"
  slurm_down
  (exit "$code")
  end
}
trap finish EXIT

# until_true SECONDS COMMAND ...
until_true() {
  local i limit=$1 # seconds
  shift
  for ((i = 0; i < limit * 10; i++)); do
    "$@" && return
    sleep 0.1
  done
  return 1
}

# edited SCRIPT OUT OPTION ...: the script with its three sections edited as a user would; an empty OUT leaves its own.
edited() {
  local script=$1 out=$2
  shift 2
  sed ${out:+-e "s|^out=.*|out=$out|" -e "s|^sweep=.*|sweep=$out|"} -e "s|^lora_dist=.*|lora_dist=$LORA_DIST|" -e "s|^jobs=.*|jobs=$root/jobs|" \
    -e "s|^options=.*|options=($*)|" -e 's|^values=.*|values=(1e-2 1e-4 nonsense)|' "$root/jobs/$script"
}

# submit NAME OPTION ...: what "${train[@]}" says, with these options of sbatch. The job's number is then ${id[NAME]}, its --out NAME.
declare -A id
submit() {
  local name=$1
  edited train.sbatch "$PWD/$name" "${train[@]}" >"$name.sbatch"
  shift
  id[$name]=$(on h1 sbatch --parsable --output="$name.log" "$@" "$name.sbatch") || fail "$name: sbatch fails"
}

# of NAME KEY: what Slurm says of the job.
of() {
  on h1 scontrol show job "${id[$1]}" 2>/dev/null | sed -n "s/.*$2=\([A-Z0-9_]*\).*/\1/p"
}

ended() {
  [[ $(of "$1" JobState) != @(|PENDING|RUNNING|COMPLETING|CONFIGURING|REQUEUED) ]]
}

back_in_queue() {
  [ "$(of "$1" JobState)" = PENDING ]
}

# completed NAME REFERENCE RANKS: the job ends well, ran on that many ranks and has the reference's adapter.
completed() {
  until_true 120 ended "$1" || fail "$1: does not end: $(of "$1" Reason)"
  cp "$1.log" err
  [ "$(of "$1" JobState)" = COMPLETED ] || fail "$1: $(of "$1" JobState)"
  expect_text "^ranks: $3\$" "$1/run.yaml" "$1"
  same_bits "$2/peft/adapter_model.safetensors" "$1/peft/adapter_model.safetensors"
}

# went_on NAME WHY: it was put back into the queue for that reason, and went on from a checkpoint.
went_on() {
  [ "$(of "$1" Restarts)" -gt 0 ] || fail "$1: was never put back into the queue"
  expect_text "$2" "$1.log" "$1"
  expect_text 'resuming from .*step-0' "$1.log" "$1"
}

has_steps() {
  [ "$(n_steps "$1")" -gt "$2" ] 2>/dev/null
}

# Interrupted only when there is something to go on from.
on_its_way() {
  until_true 60 has_steps "$1" 150 || fail "$1: does not get on"
}

# The ranks of a job: their --out is in the scratch folder.
ranks_of() {
  local pid
  for pid in $(pgrep -x "$(basename "$LORA_DIST")"); do
    ! tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "--out $PWD/$1 " || echo "$pid"
  done
}

# The controller looks at time limits every 30 s from its start. A job submitted shortly before has its signal, which is due 5 s after its
# start, soon.
before_a_look() {
  local phase=$((($(date +%s) - started) % 30))
  [ "$phase" -ge 18 ] && [ "$phase" -le 22 ]
}

# Four virtual cores are on fewer real ones: a rank that waits must let others compute.
export OMPI_MCA_mpi_yield_when_idle=1

m=$models/gpt2
# The first is that of across.sh; the other takes long enough to be interrupted.
short=(--model "$m" --data "$m/train.jsonl" --steps 60 --batch-size 16 --target all-linear --dropout 0.1 --lr 1e-2 --save-every 10)
long=(--model "$m" --data "$m/train.jsonl" --steps 1500 --batch-size 60 --dropout 0.1 --lr 1e-2 --save-every 100)

begin=$SECONDS
lap() { echo "$((SECONDS - begin)) s: $*"; }

slurm_up
lap "one rank"
ranks 1 train "${short[@]}" --out short
expect_status 0 "one rank"
"$LORA_DIST" train "${long[@]}" --out long >long.log 2>&1 &
reference=$!

whole() {
  lap "both launchers"
  train=("${short[@]}")
  LAUNCH=mpirun submit by-mpirun --nodes=2 --ntasks-per-node=2 --time=5
  LAUNCH=srun submit by-srun --nodes=2 --ntasks-per-node=2 --time=5
  completed by-mpirun short 4
  completed by-srun short 4
  sha256sum {short,by-mpirun,by-srun}/peft/adapter_model.safetensors
}

# The script's own run folder is the same in each submission: the second one finds the first one's steps there.
twice() {
  lap "submitted twice"
  local log
  edited train.sbatch "" "${short[@]}" >twice.sbatch
  for log in twice-1.log twice-2.log; do
    on h1 sbatch --parsable --nodes=1 --ntasks-per-node=1 --time=5 --output=$log twice.sbatch >/dev/null
    until_true 60 no_jobs || fail "twice: $log does not end"
  done
  expect_text 'all 60 steps' twice-2.log "twice"
  same_bits short/peft/adapter_model.safetensors runs/first/peft/adapter_model.safetensors
}

# start_long NAME LAUNCHER OPTION ...
start_long() {
  local name=$1
  export LAUNCH=$2
  shift 2
  train=("${long[@]}")
  submit "$name" --nodes=2 --ntasks-per-node=1 --time=10 "$@"
}

a_signal() {
  lap "a signal to all ranks, and one to the script"
  start_long signal srun
  start_long batch mpirun
  on_its_way signal
  on h1 scancel --signal=USR1 "${id[signal]}"
  on_its_way batch
  on h1 scancel --batch --signal=USR1 "${id[batch]}"
  for name in signal batch; do
    completed $name long 2
    went_on $name 'ended with status 75; job .* returns'
  done
}

time_limit() {
  lap "the time limit"
  until_true 31 before_a_look
  start_long limit mpirun --time=1 --signal=B:USR1@55
  completed limit long 2
  went_on limit 'ended with status 75; job .* returns'
}

crash() {
  lap "a rank killed, and beside it a job cancelled"
  start_long death mpirun
  start_long cancelled srun
  on_its_way death
  kill -9 "$(ranks_of death | tail -n 1)"
  on_its_way cancelled
  on h1 scancel "${id[cancelled]}"
  until_true 30 ended cancelled
  [ "$(of cancelled JobState)" = CANCELLED ] || fail "cancelled: $(of cancelled JobState)"
  completed death long 2
  went_on death 'ended with status [0-9]*; job .* returns'
}

node_lost() {
  lap "a node lost, which comes back"
  start_long lost srun
  on_its_way lost
  "$hosts_sh" kill h2
  until_true 60 back_in_queue lost || fail "lost: Slurm does not miss the node"
  node_up h2
  completed lost long 2
  went_on lost 'DUE TO NODE FAILURE|returns'
}

# The third run's option is invalid: it fails, and the table shows the others.
sweep() {
  lap "a sweep"
  edited sweep.sbatch "$PWD/sweep" "${short[@]}" >sweep.edited
  on h1 sbatch --parsable --array=0-2 --ntasks-per-node=1 --time=5 --output=sweep-%a.log sweep.edited >/dev/null
  until_true 60 no_jobs || fail "sweep: does not end"
  cat sweep-2.log >err
  expect_text 'lr' sweep-2.log "the third run of the sweep"
  cat sweep/table.txt
  [ "$(awk '{ print $1, $2, $NF }' sweep/table.txt)" = "run steps state
lr-1e-2 60 done
lr-1e-4 60 done" ] || fail "sweep: another table is expected"
  same_bits short/peft/adapter_model.safetensors sweep/lr-1e-2/peft/adapter_model.safetensors
}

whole
twice
sweep
wait "$reference" || fail "the undisturbed run: $(cat long.log)"
a_signal
if [ "${1:-}" = all ]; then
  time_limit
  crash
  node_lost
fi
lap end
