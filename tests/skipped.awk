# Passes ctest's output on, and says after each test in its list of skipped ones why: that is the last line that the test printed.
#   ctest --test-dir BUILD | awk -v log_file=BUILD/Testing/Temporary/LastTest.log -f tests/skipped.awk
/^The following tests did not run:/ { at_end = 1 }
at_end { held[++n] = $0; next } # until ctest has ended, and its log is whole
{ print; fflush() }
END {
  while ((getline line < log_file) > 0) {
    if (line ~ /^[0-9]+\/[0-9]+ Testing: /) name = substr(line, index(line, ": ") + 2)
    if (line == "<end of output>") reason[name] = before
    if (line != "") before = line
  }
  for (i = 1; i <= n; i++) {
    split(held[i], word, " ")
    sub(/^skipped: /, "", reason[word[3]])
    print held[i] (held[i] ~ /\(Skipped\)/ && reason[word[3]] != "" ? ": " reason[word[3]] : "")
  }
}
