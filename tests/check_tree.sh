#!/usr/bin/env bash
# The tree is the architecture: fails when a file includes a header that is not above it in the list below,
# when files include each other in a circle, or when a library's header is included outside its folder.
#   tests/check_tree.sh [BUILD]    with a build folder also circles of calls that no #include shows
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-}
failed=0

# From the ground up, a line per room: a file includes only headers of its own line or of lines above. There
# are four towers on src/base, which do not know each other: io knows no ranks and no models, mpi knows no
# files, computing (`nn`) knows neither, and `met` (metrics) knows only numbers and texts. `*` sees them all.
rooms='
*    src/base
io   io/file io/kept_file io/hash io/json io/yaml io/digest io/hdf5_chunk io/hdf5_error
io   io/hub
io   io/state
io   io/tokenizer
io   io/chat
io   io/image
io   io/dataset
io   io/report
mpi  mpi
nn   src/linalg
nn   src/nn
nn   src/diffusion
nn   src/model
met  src/metric
*    src/adapt
*    src/objective
*    src/options
*    src/load
*    src/data
*    src/generate
*    src/train
*    src/job
*    src/cmd
*    src/main src/pages src/heap
'

# includes: "FILE HEADER", each #include of our own headers.
includes() {
  grep -roE --include='*.[ch]' '^#include "[^"]+"' src io mpi | sed 's/:#include "/ /; s/"$//'
}

# calls: "FILE CALLED", which object files of the build need which others; leftovers of deleted files are
# ignored.
calls() {
  find "$build/CMakeFiles" -path '*/ld_*.dir/*' -name '*.c.o' | grep -E '\.dir/(src|io|mpi)/' | xargs nm -A -g | awk '
    { file = $1; sub(/.*\.dir\//, "", file); sub(/\.o:.*/, "", file) }
    $(NF - 1) == "U" { needs[++n] = file " " $NF; next }
    { of[$NF] = file }
    END { for (i = 1; i <= n; i++) { split(needs[i], need, " "); if (need[2] in of) print need[1], of[need[2]] } }' | sort -u
}

check() {
  awk -v rooms="$rooms" '
    function unit(file) { sub(/\.[ch]$/, "", file); return file }
    # The room of a file: itself by name, else its folder.
    function room(file) {
      for (file = unit(file); file != "" && !(file in line); ) if (!sub(/\/[^\/]*$/, "", file)) file = ""
      return file
    }
    function complain(text) { print text; failed = 1 }
    function order(file, other,  a, b) {
      a = room(file); b = room(other)
      if (a == "") { if (!(file in told)) complain(file " is in no room: give it a place in the list of tests/check_tree.sh"); told[file]; return }
      if (b == "") return
      if (line[b] > line[a])
        complain(file " includes " other ", which stands below it in the list of tests/check_tree.sh")
      else if (tower[b] != tower[a] && tower[a] != "*" && b != "src/base")
        complain(file " includes " other ": the tower " tower[a] " does not know the tower " tower[b])
    }
    # Depth first; grey (1) is in progress, black (2) is finished.
    function visit(at,  i, next_, k, text) {
      color[at] = 1; way[++depth] = at
      for (i = 1; i <= n_edges[at]; i++) {
        next_ = edges[at, i]
        if (color[next_] == 1) {
          for (k = depth; way[k] != next_; ) k--
          text = ""
          for (; k < depth; k++) text = text why[way[k], way[k + 1]] ", "
          complain("a circle of files: " text why[at, next_])
        } else if (!color[next_]) visit(next_)
      }
      color[at] = 2; depth--
    }
    BEGIN {
      n = split(rooms, rows, "\n")
      for (i = 1; i <= n; i++) {
        m = split(rows[i], words, " ")
        for (k = 2; k <= m; k++) { line[words[k]] = i; tower[words[k]] = words[1] }
      }
    }
    $1 == "file" { there[$2]; next }
    {
      other = $3
      if ($1 == "include" && (("src/" other) in there)) other = "src/" other
      if (!($2 in there) || !(other in there)) next
      if ($1 == "include") order($2, other)
      a = unit($2); b = unit(other)
      if (a == b || (a, b) in why) next
      why[a, b] = $2 ($1 == "include" ? " includes " : " calls ") other
      if (!n_edges[a]++) names[++n_names] = a
      edges[a, n_edges[a]] = b
    }
    END { for (i = 1; i <= n_names; i++) if (!color[names[i]]) visit(names[i]); exit failed }'
}

{
  find src io mpi -name '*.[ch]' | sed 's/^/file /'
  includes | sort | sed 's/^/include /'
  if [ -n "$build" ]; then calls | sed 's/^/call /'; fi
} | check || failed=1

# only PATTERN ALLOWED [FOLDER]: only files whose path matches ALLOWED may include the header, in FOLDER as
# well.
only() {
  local hits
  hits=$(grep -rlE --include='*.[ch]' "^#include [\"<]($1)" src io mpi ${3:+"$3"} | grep -vE "$2")
  [ -z "$hits" ] && return
  printf '%s outside its door:\n%s\n' "$1" "$hits"
  failed=1
}

only 'mpi\.h' '^mpi/' tests/unit
only 'cblas\.h' '^src/linalg/gemm_blas.c$'
only 'hdf5\.h' '^io/(state/store_hdf5|hdf5_error|hdf5_chunk|image/hdf5)'
only 'jansson\.h' '^io/'
only 'pcre2\.h' '^io/'
only 'png\.h' '^io/image/png(_write)?\.c$'
only 'jpeglib\.h' '^io/image/jpeg\.c$'
only 'webp/' '^io/image/webp\.c$'
only 'zlib\.h' '^io/(image/(convert_idx|orientation)|hdf5_chunk|dataset/packing_gzip)\.c$'
only 'zstd\.h' '^io/dataset/packing_zstd\.c$'
only 'xxhash\.h' '^io/hash\.c$'
only 'yaml\.h' '^io/yaml\.c$'

exit $failed
