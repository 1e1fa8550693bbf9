/* lora_dist COMMAND [options]: finds the command, starts the ranks, reads the options, runs it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/machine.h"
#include "base/memory.h"
#include "base/suggest.h"
#include "cmd/command.h"
#include "cmd/version.h"
#include "io/file.h"
#include "linalg/gemm.h"
#include "linalg/gemm_choice.h"
#include "options/command_line.h"
#include "options/run_setting.h"
#include "train/kernels.h"

static void print_help(FILE *out) {
  fputs("Usage: lora_dist COMMAND [options]\n\nFine-tunes models with LoRA on CPU clusters.\n\nCommands:\n",
        out);
  for (int i = 0; i < ld_n_commands; i++)
    fprintf(out, "  %-9s %s\n", ld_command_table[i]->name, ld_command_table[i]->summary);
  fputs(
      "\nlora_dist COMMAND --help lists the options of a command; lora_dist --version says what was built.\n"
      "To use N processes, start it by mpirun:\n"
      "  mpirun -np N lora_dist train --model DIR --data FILE --out DIR\n",
      out);
}

static const ld_command *find_command(const char *name) {
  for (int i = 0; i < ld_n_commands; i++)
    if (!strcmp(ld_command_table[i]->name, name)) return ld_command_table[i];
  return NULL;
}

static int unknown_command(const char *name, ld_error *err) {
  const char **names = ld_alloc((size_t)ld_n_commands, sizeof *names);
  for (int i = 0; i < ld_n_commands; i++) names[i] = ld_command_table[i]->name;
  const ld_hint hint = ld_suggest(name, names, (size_t)ld_n_commands, "");
  free(names);
  if (*name == '-') return ld_fail(err, LD_EUSAGE, "'%s': expected a command; see lora_dist --help", name);
  return ld_fail(err, LD_EUSAGE, "unknown command '%s'%s; see lora_dist --help", name, hint.text);
}

/* An internal status: at its end the program ends as others do when nobody reads their output any more. */
enum { READER_GONE = -1 };

static int status_of(int rc, const ld_error *err, bool speak) {
  if (rc == LD_STOPPED) return LD_STOPPED;
  if (rc == LD_ECLOSED && speak) return READER_GONE;
  if (!rc || rc == LD_ECLOSED) return 0;
  if (speak) ld_complain("%s", err->text);
  return rc == LD_EUSAGE ? 2 : 1;
}

/* For errors that every rank finds before the ranks are connected. Ranks other than 0 end without a message,
 * since theirs could make the launcher end the job before rank 0 has printed its own. */
static int usage_status(const ld_error *err, bool speak) {
  if (speak) ld_complain("%s", err->text);
  return speak ? 2 : 0;
}

typedef struct config_file {
  const char *path;
  ld_text *out;
} config_file;

static int read_file(void *user, ld_error *err) {
  const config_file *file = user;
  ld_map map;
  const int rc = ld_map_open(file->path, &map, err);
  if (map.length) ld_text_append(file->out, map.bytes, map.length);
  ld_map_close(&map);
  return rc;
}

/* Rank 0's file of the i-th --config, on every rank. Collective. */
static int read_config(const char *path, ld_comm *comm, ld_text *out, ld_error *err) {
  const int rc = ld_comm_by_first(comm, read_file, &(config_file){path, out}, err);
  if (!rc) ld_comm_broadcast_text(comm, out, 0);
  return rc;
}

typedef struct record {
  const char *adapter;
  char *path; /* NULL: there is none */
  ld_text text;
} record;

static int read_record(void *user, ld_error *err) {
  record *r = user;
  r->path = ld_run_record(r->adapter);
  return r->path ? read_file(&(config_file){r->path, &r->text}, err) : 0;
}

/* Follows the run that the adapter comes from. Collective. */
static int follow_run(enum ld_command_bit command, ld_comm *comm, ld_options *options, ld_error *err) {
  record r = {.adapter = options->adapter};
  if (!r.adapter || !ld_options_follow_runs(command)) return 0;
  int rc = ld_comm_by_first(comm, read_record, &r, err);
  if (!rc) ld_comm_broadcast_text(comm, &r.text, 0);
  if (!rc && r.text.length)
    rc = ld_options_follow(command, r.path ? r.path : r.adapter, &r.text, options, err);
  free(r.path);
  ld_text_free(&r.text);
  return ld_comm_agree(comm, rc, err);
}

static int fail_options(const ld_comm *comm, const char *mine, const char *first, ld_error *err) {
  size_t at = 0;
  while (mine[at] && mine[at] == first[at]) at++;
  while (at && mine[at] != ',') at--;
  return ld_fail(err, LD_EUSAGE,
                 "rank %d on host %s was started with other options than rank 0 (%.60s there, %.60s here): "
                 "start all ranks with the same",
                 ld_comm_rank(comm), ld_comm_host(comm), mine + at + 1, first + at + 1);
}

/* Ranks with different options would train different things, or wait for each other for ever. Only the number
 * of threads may differ between hosts. Collective. */
static int agree_on_options(enum ld_command_bit command, const ld_options *options, ld_comm *comm,
                            ld_error *err) {
  ld_options common = *options;
  ld_text mine = {0}, first = {0};
  common.threads = 1;
  ld_options_json(command, &common, false, &mine);
  ld_text_puts(&first, mine.bytes);
  ld_comm_broadcast_text(comm, &first, 0);
  const int rc = strcmp(mine.bytes, first.bytes) ? fail_options(comm, mine.bytes, first.bytes, err) : 0;
  ld_text_free(&mine);
  ld_text_free(&first);
  return ld_comm_agree(comm, rc, err);
}

/* Fills in the options of the job. Collective. */
static int resolve(const ld_command_line *line, ld_comm *comm, ld_options *options, ld_error *err) {
  size_t n = 0;
  int rc = 0;
  while (ld_command_line_config(line, n)) n++;
  int64_t counts[2] = {(int64_t)n, -(int64_t)n};
  ld_comm_max_i64(comm, counts, 2);
  if (counts[0] != -counts[1])
    return ld_fail(err, LD_EUSAGE,
                   "--config was given to some ranks only: start all ranks with the same options");
  ld_text *configs = ld_alloc(n, sizeof *configs);
  for (size_t i = 0; !rc && i < n; i++)
    rc = read_config(ld_command_line_config(line, i), comm, &configs[i], err);
  if (!rc) rc = ld_comm_agree(comm, ld_options_resolve(line, configs, options, err), err);
  if (!rc) rc = follow_run(line->command, comm, options, err);
  for (size_t i = 0; i < n; i++) ld_text_free(&configs[i]);
  free(configs);
  return rc;
}

/* For the signal handler file_gone: when it is this rank's turn to print. */
static int turn_to_speak;
enum { TURNS = 20, TURN_MILLISECONDS = 400 };

static void leave(int number) {
  (void)number;
  _exit(1);
}

/* A mapped file that is truncated while it is read would end the program with SIGBUS. Several ranks may meet
 * it: each waits for its turn to print the error, and ends silently if the launcher wakes it first because
 * another rank has printed it. */
static void file_gone(int number) {
  static const char text[] = "lora_dist: error: a model or data file was cut short, or its disk failed, "
                             "while it was in use: restore it and "
                             "run the same command again\n";
  (void)number;
  signal(SIGCONT, leave);
  signal(SIGTERM, leave);
  for (int i = 0; i < turn_to_speak; i++)
    poll(NULL, 0, TURN_MILLISECONDS); /* nanosleep is not allowed in a signal handler */
  (void)!write(STDERR_FILENO, text, sizeof text - 1);
  _exit(1);
}

static void poll_ranks(void *comm) {
  ld_comm_poll(comm);
}

static enum ld_precision precision_of(const ld_options *options) {
  int p = LD_N_PRECISIONS - 1;
  while (p > 0 && (!options->precision || strcmp(options->precision, ld_precision_names[p]) != 0)) p--;
  return (enum ld_precision)p;
}

/* Without a number of threads: one for each core that this rank may use, as far as they can be started. */
static void settle_threads(ld_options *options, const ld_comm *comm) {
  uint64_t cores[LD_CORE_WORDS];
  if (options->threads) return;
  ld_machine_cores(cores);
  const int share = ld_machine_count_cores(cores) / ld_comm_node_size(comm);
  options->threads = share > 1 && ld_machine_can_start(share - 1) ? share : 1;
}

/* The precision of the run that train resumes; NULL where there is none. */
static int read_precision(enum ld_command_bit command, const char *folder, char **precision, ld_error *err) {
  *precision = NULL;
  if (command != LD_CMD_TRAIN || !folder) return 0;
  char *path = ld_path_join(folder, "run.yaml");
  const bool exists = ld_file_exists(path);
  free(path);
  return exists ? ld_run_setting(folder, "precision", precision, err) : 0;
}

/* bfloat16 rounds more: it must be faster by so much. */
#define WORTH 1.1

/* The fastest precision, and its speed over float32's on the slowest rank; float32 and 0 where some rank has no other.
 * Collective. */
static enum ld_precision fastest_precision(const ld_options *options, ld_comm *comm, double *speed) {
  enum ld_precision fastest = LD_PRECISION_F32;
  *speed = 0;
  for (int p = LD_PRECISION_F32 + 1; p < LD_N_PRECISIONS; p++) {
    int64_t most = (int64_t)(-1e6 * ld_gemm_speed((enum ld_precision)p, (int)options->threads));
    ld_comm_max_i64(comm, &most, 1);
    const double slowest = -1e-6 * (double)most;
    if (slowest <= *speed) continue;
    *speed = slowest;
    fastest = slowest > WORTH ? (enum ld_precision)p : LD_PRECISION_F32;
  }
  return fastest;
}

/* What --precision auto means here. */
static int choose_precision(enum ld_command_bit command, const ld_options *options, enum ld_precision fastest,
                            double speed, ld_text *choice, ld_error *err) {
  char *recorded;
  const int rc = read_precision(command, options->out, &recorded, err);
  ld_text_puts(choice, recorded ? recorded : ld_precision_names[fastest]);
  if (!rc && recorded)
    ld_info("precision %s, as the run in %s", recorded, options->out);
  else if (!rc && speed > 0)
    ld_info(
        "precision %s: products of bfloat16 have %.2f times the speed of float32 here (measured just now)",
        choice->bytes, speed);
  else if (!rc)
    ld_info("precision %s: not all ranks' processors multiply bfloat16", choice->bytes);
  free(recorded);
  return rc;
}

/* Replaces "auto" by the recorded precision, or by the one that is fastest on the slowest rank. Collective. */
static int settle_precision(enum ld_command_bit command, ld_options *options, ld_comm *comm, ld_error *err) {
  double speed;
  const char *kernel = getenv("LORA_DIST_KERNEL");
  if (!options->precision || strcmp(options->precision, "auto") != 0) return 0;
  if (kernel && *kernel)
    return ld_fail(
        err, LD_EUSAGE,
        "--precision auto: LORA_DIST_KERNEL=%s leaves nothing to choose: unset it, or name a precision",
        kernel);
  const enum ld_precision fastest = fastest_precision(options, comm, &speed);
  ld_text choice = {0};
  int rc = ld_comm_rank(comm) ? 0 : choose_precision(command, options, fastest, speed, &choice, err);
  rc = ld_comm_agree(comm, rc, err);
  if (!rc) ld_comm_broadcast_text(comm, &choice, 0);
  if (rc) return rc;
  free(options->precision);
  options->precision = choice.bytes;
  return 0;
}

static int set_up_products(const ld_options *options, const ld_comm *comm, ld_error *err) {
  const int rc = ld_gemm_setup((int)options->threads, precision_of(options), err);
  if (!rc && options->threads > 1 && !ld_machine_can_start((int)options->threads - 1))
    return ld_fail(err, LD_ESYSTEM,
                   "--threads %lld: host %s does not start so many: give fewer, or raise the limit (ulimit "
                   "-u for their number, "
                   "ulimit -v for their memory)",
                   (long long)options->threads, ld_comm_host(comm));
  return rc && ld_comm_nodes(comm) > 1 ? ld_fail_prefix(err, rc, "host %s", ld_comm_host(comm)) : rc;
}

static int run(const ld_command *command, int argc, char **argv, bool speak) {
  ld_options options = {0};
  ld_error err = {0};
  ld_command_line *line = ld_command_line_parse(command->bit, argc, argv, command->takes_path, &err);
  if (!line) return usage_status(&err, speak);
  if (line->help) {
    if (speak) ld_command_line_help(command->bit, command->name, command->about, command->takes_path, stdout);
    ld_command_line_free(line);
    return 0;
  }
  ld_comm *comm = NULL;
  const int started =
      command->uses_ranks ? ld_comm_start(&argc, &argv, ld_command_line_patience(line), &comm, &err) : 0;
  if (!comm) comm = ld_comm_alone();
  if (command->uses_ranks) speak = ld_comm_rank(comm) == 0; /* another job's variables may be left */
  ld_log_mute(!speak);
  turn_to_speak = ld_comm_rank(comm) < TURNS ? ld_comm_rank(comm) : TURNS;
  signal(SIGBUS, file_gone); /* after MPI, which installs its own handler */
  int rc = started ? started : ld_versions_agree(comm, LD_VERSION, &err);
  if (!rc) rc = resolve(line, comm, &options, &err);
  if (!rc && ld_comm_size(comm) > 1) rc = agree_on_options(command->bit, &options, comm, &err);
  if (!rc && command->takes_path && !line->path)
    rc = ld_fail(&err, LD_EUSAGE, "the path is missing: lora_dist %s PATH", command->name);
  settle_threads(&options, comm);
  if (!rc) rc = settle_precision(command->bit, &options, comm, &err);
  if (!rc) rc = set_up_products(&options, comm, &err);
  rc = ld_comm_agree(comm, rc, &err);
  if (!rc) ld_gemm_choose();
  if (options.patience > 0) ld_comm_set_patience(comm, options.patience);
  if (ld_comm_size(comm) > 1)
    ld_gemm_between(poll_ranks, comm); /* a product of many rows can take a minute */
  if (!rc) rc = ld_kernels_agree(comm, ld_version_build(), options.mixed_cpus, &err);
  if (!rc && speak && precision_of(&options) != LD_PRECISION_F32)
    ld_gemm_warn_if_slow(precision_of(&options), (int)options.threads);
  if (!rc) rc = command->run(&options, line->path, comm, &err);
  ld_options_free(&options);
  ld_command_line_free(line);
  const int status = status_of(rc, &err, speak);
  ld_comm_finish(comm);
  return status;
}

/* Answers requests other than a command: help, of the program or of the command that follows, and the
 * version. Returns NULL when it has answered. */
static char **answer(char **argv, bool speak) {
  static char help[] = "--help";
  const bool asks_help = !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h");
  if (asks_help && argv[2] && argv[2][0] != '-') {
    argv[1] = argv[2]; /* "help train" is "train --help" */
    argv[2] = help;
    return argv;
  }
  if (!asks_help && strcmp(argv[1], "--version") != 0) return argv;
  if (speak && asks_help) print_help(stdout);
  if (speak && !asks_help) ld_version_print(stdout);
  return NULL;
}

/* A file that is opened later must not take the place of a closed standard output, and be written to. */
static void fill_closed(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* As head ends other programs: by SIGPIPE or, where that was ignored from the start, with a message. */
static int end_without_reader(bool pipe_ignored) {
  if (!pipe_ignored) {
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
  }
  ld_complain("standard output: nobody reads it any more; what is left of it is lost");
  return 1;
}

/* Checks that everything printed has arrived. */
static int end_output(int status, bool pipe_ignored) {
  if (status == READER_GONE) return end_without_reader(pipe_ignored);
  errno = 0;
  if (!fflush(stdout) && !ferror(stdout)) return status;
  const int error = errno;
  struct pollfd reader = {.fd = STDOUT_FILENO, .events = POLLOUT};
  if (status) return status;
  if (error == EPIPE || (poll(&reader, 1, 0) > 0 && (reader.revents & POLLERR)))
    return end_without_reader(pipe_ignored);
  ld_complain("standard output: cannot be written: %s", error ? strerror(error) : "an earlier write failed");
  return 1;
}

static int answer_or_run(int argc, char **argv) {
  const bool speak = ld_comm_prints();
  ld_error err = {0};
  ld_log_mute(!speak);
  if (argc < 2) {
    if (speak) print_help(stderr);
    return speak ? 2 : 0;
  }
  argv = answer(argv, speak);
  if (!argv) return 0;
  const ld_command *command = find_command(argv[1]);
  if (command && !command->uses_ranks && !speak) return 0; /* only rank 0 does it */
  if (command) return run(command, argc - 1, argv + 1, speak);
  unknown_command(argv[1], &err);
  return usage_status(&err, speak);
}

int main(int argc, char **argv) {
  /* A closed terminal is an ordinary write error, and so is a limit on file sizes. */
  const bool pipe_ignored = signal(SIGPIPE, SIG_IGN) == SIG_IGN;
  signal(SIGXFSZ, SIG_IGN);
  fill_closed();
  return end_output(answer_or_run(argc, argv), pipe_ignored);
}
