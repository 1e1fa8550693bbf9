# Sourced by scripts that start ranks on this machine: sets `mpirun` to a function that works as root, in containers and with
# more ranks than cores. One BLAS thread a rank.
export OPENBLAS_NUM_THREADS=1
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# on_ranks N PROGRAM ...
on_ranks() {
  local n=$1
  shift
  mpirun --oversubscribe --bind-to none -np "$n" "$@"
}
