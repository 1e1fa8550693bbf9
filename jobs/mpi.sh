# shellcheck shell=bash
# Sourced by scripts that start ranks. Sets what Open MPI needs as root, makes a job end when a host is lost,
# and defines on_ranks and on_hosts, which work in containers and with more ranks than cores. One BLAS thread
# per rank. Values in the caller's environment are kept.
export OPENBLAS_NUM_THREADS=1
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# After 3 s of silence mpirun and its daemons ask each other whether they are there, every 2 s, and give up
# after 3 questions: a host that is cut off or has lost its power is detected in about 10 s. Open MPI's own
# times add up to 8 minutes, and even then it hangs.
export OMPI_MCA_oob_tcp_keepalive_time=${OMPI_MCA_oob_tcp_keepalive_time:-3}
export OMPI_MCA_oob_tcp_keepalive_intvl=${OMPI_MCA_oob_tcp_keepalive_intvl:-2}
export OMPI_MCA_oob_tcp_keepalive_probes=${OMPI_MCA_oob_tcp_keepalive_probes:-3}

# Send only, no put or get: a large sum over TCP then uses both directions of a cable at once (5 MiB at 1
# Gbit/s: 44 ms instead of 80).
export OMPI_MCA_btl_tcp_flags=${OMPI_MCA_btl_tcp_flags:-1}

# When a job has to end, because mpirun received SIGTERM or a rank has failed, Open MPI wakes the remaining
# ranks, which then finish their step and save. After this time it sends SIGTERM, which ends them at once, and
# after the same time again SIGKILL. It always waits, so with 5 s a lost host ends all ranks in about 20 s. If
# a step takes longer, or the status 75 matters, stop a job with SIGUSR1 to mpirun: the ranks get it at once
# and have all the time they need.
export OMPI_MCA_odls_base_sigkill_timeout=${OMPI_MCA_odls_base_sigkill_timeout:-5}

# on_ranks N PROGRAM ...: ranks on this host only. They use shared memory and listen on no port; mpirun
# announces no address but that of the loopback interface. (Its own port is still open on all addresses: Open
# MPI 4 cannot bind it otherwise.)
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
