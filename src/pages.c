/* Makes lora_dist's man page and its completion for bash from the tables of commands and options, when the
 * program is built:
 *   pages man > lora_dist.1
 *   pages bash > lora_dist.bash */
#include <stdio.h>
#include <string.h>

#include "cmd/command.h"
#include "options/table.h"

static bool takes(const ld_command *command, const ld_option *o) {
  return o->commands & (int)command->bit;
}

/* Whether the option's value is the next word of the command line; "--name=value" always works. */
static bool takes_word(const ld_option *o) {
  return o->kind != LD_OPTION_FLAG && !o->off;
}

/* Text for troff, to which a backslash, and a dot or quote at the start of a line, are special. */
static void put_troff(const char *text) {
  if (*text == '.' || *text == '\'') fputs("\\&", stdout);
  for (; *text; text++) {
    if (*text == '\\')
      fputs("\\e", stdout);
    else if (*text == '-')
      fputs("\\-", stdout);
    else
      putchar(*text);
  }
}

static void put_name(const char *prefix, const ld_option *o) {
  fputs("\\fB", stdout);
  put_troff(prefix);
  put_troff(o->name);
  fputs("\\fR", stdout);
  if (!takes_word(o) || prefix[2]) return; /* "--no-" */
  fputs(" \\fI", stdout);
  put_troff(o->argument);
  fputs("\\fR", stdout);
}

static void put_option(const ld_option *o) {
  puts(".TP");
  put_name("--", o);
  putchar('\n');
  put_troff(o->help);
  if (o->fallback && (o->kind != LD_OPTION_FLAG || o->off)) {
    fputs(" [", stdout);
    put_troff(o->fallback);
    putchar(']');
  }
  putchar('\n');
  if (!o->off) return;
  puts(".TP");
  put_name("--no-", o);
  putchar('\n');
  put_troff(o->off);
  putchar('\n');
}

/* ".SS Files", from the heading "Files:". */
static void put_heading(const ld_option *o) {
  printf(".SS \"%.*s\"\n", (int)strcspn(o->help, ":"), o->help);
}

static void put_synopsis(const ld_command *command) {
  printf("\\fBlora_dist %s\\fR", command->name);
  if (command->takes_path) fputs(" \\fIPATH\\fR", stdout);
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    if (!o->name || !(o->required & (int)command->bit)) continue;
    putchar(' ');
    put_name("--", o);
  }
  puts(command->takes_path ? "" : " [\\fIoptions\\fR]");
}

static void put_command(const ld_command *command) {
  printf(".SH \"%s\"\n", command->name);
  put_synopsis(command);
  puts(".PP");
  put_troff(command->about);
  putchar('\n');
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    if (takes(command, o)) (o->name ? put_option : put_heading)(o);
  }
}

/* The sections of the man page between the synopsis and the commands, and after the commands. */
static const char man_description[] =
    ".SH DESCRIPTION\n"
    "Reads a Hugging Face model folder, trains an adapter on data of yours, and writes it as a PEFT "
    "folder and as\n"
    "HDF5.\n"
    "To use N processes, start it by mpirun, or by srun in a job of Slurm:\n"
    ".PP\n"
    ".RS\n"
    "mpirun \\-np N lora_dist train \\-\\-model DIR \\-\\-data FILE \\-\\-out DIR\n"
    ".RE\n"
    ".PP\n"
    "The adapter is the same, bit for bit, on any number of processes.\n"
    "The same command again resumes a run that has ended early.\n"
    ".PP\n"
    "An option is given as \\fB\\-\\-name\\fR \\fIvalue\\fR or \\fB\\-\\-name=\\fR\\fIvalue\\fR; the "
    "beginning of a name is\n"
    "enough where only one option has it. Each is also a key of the YAML file that \\fB\\-\\-config\\fR "
    "names.\n"
    "Defaults are in brackets.\n"
    "\\fBlora_dist\\fR \\fICOMMAND\\fR \\fB\\-\\-help\\fR prints the options of a command, \\fBlora_dist "
    "\\-\\-version\\fR\n"
    "what was built.";

static const char man_end[] =
    ".SH EXIT STATUS\n"
    ".TP\n0\ndone\n"
    ".TP\n1\nerror\n"
    ".TP\n2\nbad usage\n"
    ".TP\n75\n"
    "stopped after a checkpoint, by a signal (SIGINT, SIGTERM, SIGHUP, SIGUSR1) or by "
    "\\fB\\-\\-time\\-limit\\fR:\n"
    "the same command resumes\n"
    ".TP\n141\nnobody reads the output any more\n"
    ".SH ENVIRONMENT\n"
    ".TP\nLORA_DIST_KERNEL\n"
    "kernels of the matrix products, instead of the best that the processor has: avx512, avx2, plain, "
    "openblas\n"
    ".TP\nTMPDIR\n"
    "folder for links to files that a host receives from another one [/tmp]\n"
    ".SH FILES\n"
    "A run's folder, \\fB\\-\\-out\\fR of \\fBtrain\\fR, holds run.yaml (its options), metrics.jsonl, "
    "checkpoints/,\n"
    "adapter.h5, best.h5 (with \\fB\\-\\-valid\\fR), peft/ and report.html.\n"
    ".SH SEE ALSO\n"
    "\\fBmpirun\\fR(1), \\fBsrun\\fR(1), \\fBsbatch\\fR(1)";

static void put_man_page(void) {
  puts(".TH LORA_DIST 1 \"\" \"lora_dist " LD_VERSION "\" \"User Commands\"\n"
       ".SH NAME\n"
       "lora_dist \\- fine\\-tune pretrained models with LoRA on CPU clusters\n"
       ".SH SYNOPSIS");
  for (int i = 0; i < ld_n_commands; i++) {
    if (i) puts(".br");
    put_synopsis(ld_command_table[i]);
  }
  puts(man_description);
  for (int i = 0; i < ld_n_commands; i++) put_command(ld_command_table[i]);
  puts(man_end);
}

/* One line of the completion's table: "--name) takes='a b FILE' ;;". */
static void put_case(const ld_option *o) {
  fputs("        ", stdout);
  if (takes_word(o)) printf("--%s | ", o->name);
  printf("--%s=) takes='", o->name);
  for (const char *at = o->kind == LD_OPTION_FLAG ? "yes|no" : o->argument; *at; at++)
    putchar(*at == '|' ? ' ' : *at);
  puts("' ;;");
}

static void put_cases(const ld_command *command) {
  printf("    %s)\n      options='", command->name);
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    if (!o->name || !takes(command, o)) continue;
    printf("--%s ", o->name);
    if (o->off) printf("--no-%s ", o->name);
  }
  printf("--help'\n      case $2 in\n");
  for (int i = 0; i < ld_n_options; i++)
    if (ld_option_table[i].name && takes(command, &ld_option_table[i])) put_case(&ld_option_table[i]);
  printf("        *) takes=%s ;;\n      esac ;;\n", command->takes_path ? "'OPTIONS PATH'" : "OPTIONS");
}

/* The end of the completion, after the cases of the commands: the case of help, and the function that bash
 * calls. */
static const char completer[] =
    "    help) [ \"$COMP_CWORD\" != 2 ] || takes=$_lora_dist_commands ;;\n"
    "  esac\n"
    "}\n"
    "\n"
    "_lora_dist() {\n"
    "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} options='' takes='' kind\n"
    "  if [ \"$word\" = '=' ]; then # \"--pack=\" is two words, \"--pack=y\" three\n"
    "    word='' before=$before=\n"
    "  elif [ \"$before\" = '=' ]; then\n"
    "    before=${COMP_WORDS[COMP_CWORD - 2]}=\n"
    "  fi\n"
    "  if [ \"$COMP_CWORD\" = 1 ]; then\n"
    "    takes=$_lora_dist_commands\n"
    "  else\n"
    "    _lora_dist_takes \"${COMP_WORDS[1]}\" \"$before\"\n"
    "  fi\n"
    "  mapfile -t COMPREPLY < <(\n"
    "    for kind in $takes; do\n"
    "      case $kind in\n"
    "        OPTIONS) compgen -W \"$options\" -- \"$word\" ;;\n"
    "        DIR) compgen -d -- \"$word\" ;;\n"
    "        FILE | PATH) compgen -f -- \"$word\" ;;\n"
    "        *[[:lower:]]*) compgen -W \"$kind\" -- \"$word\" ;; # a value itself; a NUMBER or TEXT is up "
    "to the user\n"
    "      esac\n"
    "    done\n"
    "  )\n"
    "  case \" $takes \" in\n"
    "    *' DIR '* | *' FILE '* | *' PATH '*) compopt -o filenames 2>/dev/null || true ;;\n"
    "  esac\n"
    "}\n"
    "complete -F _lora_dist lora_dist";

static void put_completion(void) {
  fputs("# shellcheck shell=bash\n"
        "# Completion of lora_dist for bash, made from its tables of commands and options.\n"
        "\n"
        "_lora_dist_commands='",
        stdout);
  for (int i = 0; i < ld_n_commands; i++) printf("%s ", ld_command_table[i]->name);
  puts(
      "help --help --version'\n"
      "\n"
      "# _lora_dist_takes COMMAND WORD: sets $options to the command's, and $takes to what can follow WORD.\n"
      "_lora_dist_takes() {\n"
      "  case $1 in");
  for (int i = 0; i < ld_n_commands; i++) put_cases(ld_command_table[i]);
  puts(completer);
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "man"))
    put_man_page();
  else if (argc == 2 && !strcmp(argv[1], "bash"))
    put_completion();
  else
    return 2;
  return fflush(stdout) ? 1 : 0;
}
