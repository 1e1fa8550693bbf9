# shellcheck shell=bash
# Sourced: images and containers of these scripts lie in $WORK, apart from those of the machine.
: "${WORK:=${TMPDIR:-/tmp}/lora_dist-images}"
export WORK CONTAINERS_STORAGE_CONF=$WORK/storage.conf
mkdir -p "$WORK"
printf '%s\n' '[storage]' "driver = \"${STORAGE_DRIVER:-overlay}\"" "graphroot = \"$WORK/storage\"" "runroot = \"$WORK/run\"" >"$CONTAINERS_STORAGE_CONF"
