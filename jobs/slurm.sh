# shellcheck shell=bash
# Sourced by the Slurm scripts beside it: starts a training on what Slurm gave the job, forwards its signals,
# and returns the job to the queue when there is more to do.
#
# LAUNCH says how ranks are started: srun (through PMIx), mpirun (inside the allocation), or auto, which is
# srun if it has PMIx.
. "$(dirname "${BASH_SOURCE[0]}")/mpi.sh"
: "${LAUNCH:=auto}"

# Ranks started by srun meet in Slurm's PMIx. Its default way of meeting, a tree, lets some ranks continue
# before all are there (Slurm 22.05: of 30 starts of 4 ranks on 2 nodes 10 crashed in MPI_Init); its ring does
# not.
export SLURM_PMIX_FENCE=${SLURM_PMIX_FENCE:-ring}

# A job that loses ranks this often in a row, without a new checkpoint in between, is given up.
most_starts_in_vain=3

launcher() {
  [ "$LAUNCH" = auto ] || { echo "$LAUNCH"; return; }
  if srun --mpi=list 2>&1 | grep -qw pmix; then echo srun; else echo mpirun; fi
}

# A node that has crashed keeps the socket of its step in Slurm's spool, and no step of the same number can
# start there. So the training of the k-th restart is the job's step k.
pass_steps_of_earlier_starts() {
  local k
  for ((k = 0; k < ${SLURM_RESTART_COUNT:-0}; k++)); do srun --mpi=none --nodes=1 --ntasks=1 true || true; done
}

# launch srun|mpirun PROGRAM ...: becomes the launcher, so that a signal to this process reaches it. Since
# 22.05 Slurm does not pass the cores per task that sbatch was asked for on to srun.
launch() {
  case $1 in
    srun) shift && exec srun --mpi=pmix --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" "$@" ;;
    mpirun) shift && exec mpirun --bind-to none "$@" ;;
    *) echo "slurm: LAUNCH=$1: it may be srun, mpirun or auto" >&2; exit 2 ;;
  esac
}

newest_checkpoint() {
  { find "$1/checkpoints" -name 'step-*.h5' 2>/dev/null || true; } | sort | tail -n 1
}

# goes_on OUT STATUS BEFORE: whether the job is worth another start. Wrong usage never is. Otherwise a newer
# checkpoint than at its start is reason enough; without one, only ranks that were killed or lost (a status
# above the program's own 1).
goes_on() {
  local in_vain=$1/starts_in_vain n
  [ "$2" != 0 ] && [ "$2" != 2 ] && [ -z "$cancelled" ] || return 1
  if [ "$3" != "$(newest_checkpoint "$1")" ]; then
    rm -f "$in_vain"
    return 0
  fi
  n=$(($(cat "$in_vain" 2>/dev/null || echo 0) + 1))
  [ "$2" -gt 2 ] && [ "$n" -le "$most_starts_in_vain" ] && mkdir -p "$1" && echo "$n" >"$in_vain"
}

# wait_for PID: its status, although traps interrupt the wait.
wait_for() {
  local status=0
  while kill -0 "$1" 2>/dev/null; do wait "$1" || true; done
  wait "$1" || status=$?
  return "$status"
}

# on_slurm OUT PROGRAM ...: its status; does not return when the job returns to the queue.
on_slurm() {
  local out=$1 before with status=0
  shift
  with=$(launcher)
  [ "$with" != srun ] || pass_steps_of_earlier_starts
  [ "${SLURM_RESTART_COUNT:-0}" != 0 ] || rm -f "$out/starts_in_vain" # of an earlier submission
  before=$(newest_checkpoint "$out")
  cancelled=
  launch "$with" "$@" &
  job=$!
  trap 'kill -USR1 "$job" 2>/dev/null || true' USR1
  trap 'cancelled=yes' TERM
  wait_for "$job" || status=$?
  if goes_on "$out" "$status" "$before"; then
    echo "slurm: ended with status $status; job $SLURM_JOB_ID returns to the queue"
    scontrol requeue "$SLURM_JOB_ID"
    exit "$status"
  fi
  return "$status"
}
