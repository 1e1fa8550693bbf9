#!/usr/bin/env bash
# The tree is the architecture: fails when a folder includes what stands above it, or when a library's header is included
# outside its door.
set -u
cd "$(dirname "$0")/.." || exit 1
failed=0

# complain WHAT PATTERN FOLDER ...: no file of the folders may have an include that matches.
complain() {
  local what=$1 pattern=$2
  shift 2
  local hits
  hits=$(grep -rnE --include='*.[ch]' "^#include [\"<]($pattern)" "$@" 2>/dev/null)
  [ -z "$hits" ] && return
  printf '%s:\n%s\n' "$what" "$hits"
  failed=1
}

complain 'src/base includes what stands above it' '(linalg|nn|model|train|cmd|io|mpi)/' src/base
complain 'src/linalg includes what stands above it' '(nn|model|train|cmd|io|mpi)/' src/linalg
complain 'src/nn includes what stands above it' '(model|train|cmd|io|mpi)/' src/nn
complain 'src/model includes what stands above it' '(train|cmd|io|mpi)/' src/model
complain 'io and mpi know only src/base' '(linalg|nn|model|train|cmd)/' io mpi
complain 'mpi knows no file format' 'io/' mpi
complain 'io knows no ranks' 'mpi/' io
complain 'src/train includes src/cmd' 'cmd/' src/train
complain '<mpi.h> outside mpi/' 'mpi\.h' src io tests/unit

# only PATTERN ALLOWED: the header may be included by files whose path matches ALLOWED alone.
only() {
  local hits
  hits=$(grep -rlE --include='*.[ch]' "^#include [\"<]($1)" src io mpi | grep -vE "$2")
  [ -z "$hits" ] && return
  printf '%s outside its door:\n%s\n' "$1" "$hits"
  failed=1
}

only 'hdf5\.h' '^io/(checkpoint|hdf5_error|hdf5_chunk|image/hdf5)'
only 'cblas\.h' '^src/linalg/gemm_blas.c$'
only 'jansson\.h' '^io/'
only 'pcre2\.h' '^io/'
only 'png\.h' '^io/image/png\.c$'
only 'jpeglib\.h' '^io/image/jpeg\.c$'
only 'zlib\.h' '^io/(image/(convert_idx|orientation)|hdf5_chunk)\.c$'
only 'xxhash\.h' '^io/hash\.c$'
only 'yaml\.h' '^io/yaml\.c$'

exit $failed
