# shellcheck shell=bash
# Sourced by scripts that start ranks: sets what Open MPI needs as root, what ends a job when a host is lost, and on_ranks and on_hosts, which
# work in containers and with more ranks than cores. One BLAS thread a rank. What the caller's environment says already stays.
export OPENBLAS_NUM_THREADS=1
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# mpirun and its daemons ask each other after 3 s of silence whether they are there, every 2 s, and give up after 3 questions: a host that
# is cut off or has lost its power is noticed in about 10 s. Open MPI's own times add up to 8 minutes, and hang even then.
export OMPI_MCA_oob_tcp_keepalive_time=${OMPI_MCA_oob_tcp_keepalive_time:-3}
export OMPI_MCA_oob_tcp_keepalive_intvl=${OMPI_MCA_oob_tcp_keepalive_intvl:-2}
export OMPI_MCA_oob_tcp_keepalive_probes=${OMPI_MCA_oob_tcp_keepalive_probes:-3}

# Send only, no put or get: a large sum over TCP then uses both directions of a cable at once (5 MiB at 1 Gbit/s: 44 ms, not 80).
export OMPI_MCA_btl_tcp_flags=${OMPI_MCA_btl_tcp_flags:-1}

# When a job has to end, by SIGTERM to mpirun or because a rank has failed, Open MPI wakes the ranks that are left, which then end their step
# and save; after this time it sends SIGTERM, which ends them at once, and after the same time again SIGKILL; it always waits, so with 5 s a
# lost host ends all ranks in about 20 s. Where a step takes longer, or the status 75 matters, stop a job by SIGUSR1 to mpirun: the ranks get
# it at once and have all time.
export OMPI_MCA_odls_base_sigkill_timeout=${OMPI_MCA_odls_base_sigkill_timeout:-5}

# on_ranks N PROGRAM ...: ranks of this host alone. They use shared memory and listen on no port; mpirun tells nobody of an address but that
# of the loopback interface. (Its own port is open on all addresses all the same: Open MPI 4 can only bind it so.)
on_ranks() {
  local n=$1
  shift
  OMPI_MCA_pml=${OMPI_MCA_pml:-ob1} OMPI_MCA_btl=${OMPI_MCA_btl:-self,vader} \
    OMPI_MCA_oob_tcp_if_include=${OMPI_MCA_oob_tcp_if_include:-lo} mpirun --oversubscribe --bind-to none -np "$n" "$@"
}

# on_hosts LIST PROGRAM ...: LIST is h1:2,h2:1, the hosts with their numbers of ranks.
on_hosts() {
  local list=$1
  shift
  mpirun --host "$list" --bind-to none -x OPENBLAS_NUM_THREADS "$@"
}
