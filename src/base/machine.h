/* What this machine offers a process: time, cores, memory. */
#ifndef LD_MACHINE_H
#define LD_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/* Seconds on a monotonic clock. */
double ld_clock(void);

enum { LD_CORE_WORDS = 16 };

/* The cores that this process may run on, as bits. */
void ld_machine_cores(uint64_t cores[LD_CORE_WORDS]);
int ld_machine_count_cores(const uint64_t cores[LD_CORE_WORDS]);

/* Whether so many threads could be started beside this one. Where OpenMP cannot start one, it ends the
 * process with a bare message. */
bool ld_machine_can_start(int threads);

/* Bytes of memory that can still be allocated, counting the page cache as free: of the machine, or of the
 * control group (a container, a Slurm job) if that allows less. -1 when not known. */
int64_t ld_machine_memory(void);

#endif
