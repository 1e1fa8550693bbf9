# shellcheck shell=bash
# Sourced: images and containers of these scripts are stored in $WORK, separate from those of the machine. By
# default it is a folder of the user's own: under a known name in a shared temporary folder, another user
# could have put something there first.
: "${WORK:=${XDG_CACHE_HOME:-$HOME/.cache}/lora_dist-images}"
export WORK CONTAINERS_STORAGE_CONF=$WORK/storage.conf
mkdir -p "$WORK"
printf '%s\n' '[storage]' "driver = \"${STORAGE_DRIVER:-overlay}\"" "graphroot = \"$WORK/storage\"" "runroot = \"$WORK/run\"" >"$CONTAINERS_STORAGE_CONF"
