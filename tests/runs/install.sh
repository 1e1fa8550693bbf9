#!/usr/bin/env bash
# What `cmake --install` writes to a folder works there and after it is moved: the program, its manual, its
# completion, the scripts of jobs/. cpack makes packages of the same.
. "$(dirname "$0")/lib.sh"
build=$(dirname "$LORA_DIST")
command -v cmake >/dev/null || { echo "skipped: no cmake"; exit 77; }

cmake --install "$build" --prefix "$PWD/first" >out 2>err || fail "cmake --install: status $?"
mv first prefix # nothing may depend on the old path
for file in bin/lora_dist share/man/man1/lora_dist.1 share/bash-completion/completions/lora_dist share/doc/lora-dist/README.md \
  share/doc/lora-dist/CHANGELOG.md share/doc/lora-dist/LICENSE share/lora_dist/jobs/mpi.sh share/lora_dist/jobs/slurm.sh; do
  [ -s "prefix/$file" ] || fail "$file is not installed"
done
! find prefix -name '*.o' -o -name '*.a' -o -name 'test_*' | grep . || fail "too much is installed"

# The version is defined in one place.
version=$(sed -n 's/^project(lora_dist VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
installed=$PWD/prefix/bin/lora_dist
"$installed" --version >out 2>err
expect_text "^lora_dist $version \(commit " out "--version"
expect_text "\"lora_dist $version\"" prefix/share/man/man1/lora_dist.1 "man page"

# The completion is found by the program's name, whatever folder it is in.
bash -c '. prefix/share/bash-completion/completions/lora_dist && complete -p lora_dist' >out 2>err || fail "the completion is not installed"

# The quickstart trains and writes tales, from a folder that has nothing to do with it.
mkdir -p elsewhere
cd elsewhere || exit 1
env -u LORA_DIST timeout 300 ../prefix/share/lora_dist/jobs/quickstart.sh >out 2>err || fail "the installed quickstart: status $?"
expect_text 'pirate' out "the installed quickstart"
[ -s runs/quickstart/peft/adapter_model.safetensors ] || fail "the installed quickstart leaves no adapter"

# The batch script finds program and helpers on PATH. Slurm runs a copy of it; without Slurm, mpirun starts
# the ranks.
sed -e "s|^options=.*|options=(--model $models/gpt2 --data $models/gpt2/train.jsonl --steps 2)|" \
  ../prefix/share/lora_dist/jobs/train.sbatch >copy.sbatch
submit() {
  SLURM_SUBMIT_DIR=$PWD LAUNCH=mpirun OMPI_MCA_rmaps_base_oversubscribe=1 timeout "$limit" bash copy.sbatch >out 2>err
  status=$?
}
PATH=$PWD/../prefix/bin:$PATH submit
expect_status 0 "the installed batch script"
[ -s runs/first/adapter.h5 ] || fail "the installed batch script leaves no adapter"
PATH=/usr/bin:/bin submit
expect_status 2 "a batch script without the program"
expect_text 'nor on PATH' err "a batch script without the program"
cd ..

# Packages.
if (cd "$build" && cpack -G TGZ -B "$scratch/packages") >out 2>err; then
  mkdir unpacked
  tar -xzf packages/lora_dist-"$version"-*.tar.gz -C unpacked --strip-components=1 || fail "the archive cannot be unpacked"
  unpacked/bin/lora_dist --version >out 2>err || fail "the program of the archive does not start"
else
  fail "cpack -G TGZ: status $?"
fi
if command -v dpkg-shlibdeps >/dev/null && command -v file >/dev/null; then
  (cd "$build" && cpack -G DEB -B "$scratch/packages") >out 2>err || fail "cpack -G DEB: status $?"
  dpkg-deb --field packages/*.deb >fields || fail "the package has no fields"
  expect_text "^Package: lora-dist$" fields "package"
  expect_text "^Version: $version$" fields "package"
  expect_text "^Architecture: $(dpkg --print-architecture)$" fields "package"
  expect_text "^Depends: .*openmpi-bin.*libhdf5" fields "package"
fi
