# shellcheck shell=bash
# compare-latency's plot of its figures; sourced after lib.sh, never run.

# check_plot FILE: ends the script unless FILE can be drawn. For before a run that takes minutes.
check_plot() {
    local file=$1 folder=. is_new=false
    [[ $file == *.svg ]] || usage_error "--plot writes SVG: end FILE in .svg, not '$file'"
    [[ $file != */* ]] || folder=${file%/*}/
    [[ -d $folder ]] || die "--plot: there is no directory $folder: create it, or name another FILE"
    [[ ! -d $file ]] || die "--plot: $file is a directory: name a file in it"
    [[ -e $file ]] || is_new=true
    # Tried, because root's -w says yes also where no file can be made, as in /proc. What is there
    # stays as it is.
    if ! $is_new && [[ ! -f $file ]] || ! { : >>"$file"; } 2>/dev/null; then
        die "--plot: cannot write $file: name another FILE"
    fi
    ! $is_new || rm -f "$file"
    command -v gnuplot >/dev/null ||
        die "--plot: 'gnuplot' is missing: run scripts/setup, or 'apt-get install gnuplot-nox'"
    need jq
}

# draw_plot JSON FILE host|vm ROUNDS CPU|none: draws what the probe wrote to JSON. The title says the
# rest.
draw_plot() (
    where='on the host' cpu="all on CPU $5"
    # Set in the VM: this may run there itself.
    [[ $3 == host && ! ${SHORTFUSE_KERNEL:-} ]] || where='in the VM'
    [[ $5 != none ]] || cpu='on any CPU'
    # A subshell, so that the trap is its own.
    table=$(mktemp -t latency.XXXXXX.tsv)
    trap 'rm -f "$table"' EXIT
    # At least 1 ns: a logarithmic axis has no 0.
    jq -r '["operation", "subject", "p50_us", "p99_us"],
        (.rows[] | [.operation, .subject, ([.p50_ns, 1] | max) / 1000, ([.p99_ns, 1] | max) / 1000]) | @tsv' "$1" >"$table"
    (($(wc -l <"$table") > 1)) ||
        die "--plot: nothing to draw: no subject has these operations, name others with --operations"
    kernel=$(jq -r .kernel "$1")
    # All of it before FILE is touched: half a drawing is worse than the old one.
    svg=$(gnuplot -c "$ROOT/bench/latency.gp" "$table" \
        "Latency of file system calls: kernel $kernel, $where" \
        "marks: p50 of $4 rounds; lines: up to p99; $cpu") ||
        die "--plot: gnuplot could not draw $2"
    printf '%s\n' "$svg" >"$2" || die "--plot: cannot write $2"
    say "the plot is in $2"
)
