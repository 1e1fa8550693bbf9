#!/usr/bin/env bash
# The man page and the completion for bash have every command and option of --help; the completion offers what
# is valid at the cursor.
. "$(dirname "$0")/lib.sh"
page=$(dirname "$LORA_DIST")/made/lora_dist.1
completion=$(dirname "$LORA_DIST")/made/lora_dist.bash

if command -v man >/dev/null; then
  man --warnings -l "$page" >text 2>err || fail "man: status $?"
  [ ! -s err ] || fail "man has warnings"
  grep -q 'mpirun -np N lora_dist train --model DIR' text || fail "man prints no example"
fi

# shellcheck source=/dev/null # made by the build
. "$completion"
complete -p lora_dist | grep -q -- '-F _lora_dist lora_dist' || fail "no completion is registered"

# offers EXPECTED WORD ...: what the completion offers for the last word of the command line, in this order.
offers() {
  local expected=$1
  shift
  COMP_WORDS=(lora_dist "$@") COMP_CWORD=$#
  COMPREPLY=()
  _lora_dist lora_dist "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
  [ "${COMPREPLY[*]}" = "$expected" ] || fail "completion of '$*': '${COMPREPLY[*]}', expected '$expected'"
}

# Every option of every command.
commands=$("$LORA_DIST" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | tr '\n' ' ')
[ "$(wc -w <<<"$commands")" -ge 10 ] || fail "--help lists the commands '$commands'"
for command in $commands; do
  grep -q "^\.SH \"$command\"" "$page" || fail "the man page lacks $command"
  names=$("$LORA_DIST" "$command" --help | sed -n 's/^  \(-h, \)\{0,1\}\(--[a-z0-9-]*\).*/\2/p' | tr '\n' ' ')
  sed -n "/^\.SH \"$command\"/,/^\.SH \"/p" "$page" | sed 's/\\-/-/g' >section
  for name in $names; do
    [ "$name" = --help ] || grep -q "^.fB$name.fR" section || fail "the man page lacks $command $name"
  done
  offers "${names% }" "$command" --
done

offers "train" tr
offers "${commands}help --help --version" ""
offers "--weight-decay" train --model x --we
offers "--no-pack --no-mask-prompt --no-shuffle --no-repeat-ngram" train --no-
offers "linear cosine constant" train --schedule ""
offers "cosine" train --schedule = cos
offers "auto yes no" train --pack =
offers "yes no" train --rslora =
offers "" train --rank ""
offers "" generate --prompt ""
offers "" no-such-command --
offers "predict" help pre
mkdir -p places/a "places/b c"
: >places/file.jsonl
offers "places/a places/b c" train --model places/
offers "places/a places/b c" export --out places/
offers "places/file.jsonl" train --data places/f
offers "places/file.jsonl" inspect places/f
offers "--help" inspect --
cd places || exit 1
offers "auto" train --resume au
offers "file.jsonl" train --resume "fi"
offers "b c" train --out b
