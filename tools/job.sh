
# What follows is the same in every job: train; if a rank is lost, go on from the newest checkpoint
# on what is left. The lines above set launcher (slurm, pbs, local), sunup, run, run_dir,
# ranks_per_node, restarts, patience, shrink and the arguments. It stops at once on an error that would repeat
# itself (status 1, 2) and on a stop by request (128 + HUP INT USR1 TERM), and gives up when two
# failures have no new checkpoint between them.

say() {
    echo "job: $*" >&2
}

count() { # words
    echo "$1" | wc -w
}

newest() {
    find "$run_dir/checkpoints" -name 'step-*.safetensors' 2>/dev/null | sort | tail -n 1
}

reports() { # lines of the record of lost ranks
    { wc -l <"$run_dir/lost.jsonl"; } 2>/dev/null || echo 0
}

# Hosts, one for each rank, that the first report after line $1 calls gone or stopped; later reports
# may accuse who only ended after the first.
accused() {
    tail -n +"$(($1 + 1))" "$run_dir/lost.jsonl" 2>/dev/null | head -n 1 | tr '{' '\n' |
        sed -n -e 's/^"rank".*"host": "\([^"]*\)", "state": "gone".*/\1/p' \
            -e 's/^"rank".*"host": "\([^"]*\)", "state": "stopped".*/\1/p'
}

# launch LIMIT RANKS RANKS_PER_HOST HOSTS COMMAND...: LIMIT in seconds, 0: none, in place of this (sub)shell.
launch() {
    limit=$1 n=$2 each=$3 on=$(echo "$4" | tr -s ' \n' ',,' | sed 's/^,//; s/,$//')
    shift 4
    if [ "$launcher" = slurm ]; then
        set -- srun --nodes="$((n / each))" --ntasks="$n" --ntasks-per-node="$each" --nodelist="$on" \
            --cpu-bind=none --kill-on-bad-exit=1 "$@"
    else
        case $(mpiexec --version 2>&1) in
        *"Open MPI"* | *OpenRTE*)
            [ "$launcher" = local ] || set -- --host "$(echo "$on" | sed "s/,/:$each,/g; s/\$/:$each/")" "$@"
            [ -z "$shrink" ] || set -- --with-ft ulfm "$@"
            set -- --bind-to none "$@"
            ;;
        *HYDRA*) [ "$launcher" = local ] || set -- -hosts "$on" -ppn "$each" "$@" ;;
        *) [ "$launcher" = local ] || set -- --hosts "$on" --ppn "$each" --cpu-bind none "$@" ;; # PALS
        esac
        set -- mpiexec -n "$n" "$@"
    fi
    if [ "$limit" = 0 ]; then exec "$@"; else timeout "$limit" "$@" >/dev/null 2>&1; fi
}

# Train, and end a launcher that stays when rank 0 has given no sign of life for $patience seconds.
attempt() {
    rm -f "$run_dir/alive"
    launch 0 "$ranks" "$ranks_per_node" "$hosts" "$sunup" train "$run" "$@" &
    child=$! beat='' silence=0
    while kill -0 "$child" 2>/dev/null; do
        sleep 1
        silence=$((silence + 1))
        now=$(cat "$run_dir/alive" 2>/dev/null)
        [ "$now" = "$beat" ] || { beat=$now && silence=0; }
        [ "$silence" -ge "${SUNUP_PATIENCE:-$patience}" ] || continue
        say "no sign of life for $silence s: the launcher is ended"
        kill -TERM "$child"
        sleep 5
        kill -KILL "$child" 2>/dev/null
        wait "$child"
        return 124
    done
    wait "$child"
}

# Those of $hosts that still start a process, asked 16 at a time.
living() {
    answers=$(mktemp) asked=0
    for h in $hosts; do
        { launch 60 1 1 "$h" true && echo "$h" >>"$answers"; } </dev/null &
        asked=$((asked + 1))
        [ $((asked % 16)) -ne 0 ] || wait
    done
    wait
    for h in $hosts; do # in their order
        grep -Fx -e "$h" "$answers"
    done
    rm -f "$answers"
}

# Keep of $hosts what answers and is not accused ($*); a single host keeps fewer ranks instead.
leave_out() {
    if [ "$(count "$hosts")" -eq 1 ]; then
        ranks_per_node=$((ranks_per_node - $#))
        return
    fi
    left=
    for h in $(living); do
        named=
        for a in "$@"; do
            [ "${a%%.*}" != "${h%%.*}" ] || named=yes
        done
        [ -n "$named" ] || left="$left $h"
    done
    hosts=$left
}

stopped='' child=''
trap 'stopped=yes; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' HUP INT TERM
case $launcher in
slurm) hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST") ;;
pbs) cd "$PBS_O_WORKDIR" && hosts=$(sort -u "$PBS_NODEFILE") || exit 1 ;;
*) hosts=$(uname -n) ;;
esac

failures=0 last='' status=1
while :; do
    ranks=$(($(count "$hosts") * ranks_per_node))
    if [ "$ranks" -lt 1 ]; then
        say "nothing is left to run on"
        exit "$status"
    fi
    known=$(reports)
    if [ -n "$(newest)" ]; then
        attempt --resume "$@"
    else
        attempt "$@"
    fi
    status=$?
    [ "$status" -ne 0 ] && [ -z "$stopped" ] || exit "$status"
    if [ "$(reports)" -eq "$known" ]; then
        case $status in
        129 | 130 | 138 | 143) exit "$status" ;;
        1 | 2) [ "$(count "$(living)")" -lt "$(count "$hosts")" ] || exit "$status" ;; # a launcher says 1 as well
        esac
    fi
    failures=$((failures + 1))
    checkpoint=$(newest)
    if [ "$failures" -gt "$restarts" ]; then
        say "failure $failures with status $status; $restarts restarts were allowed"
        exit "$status"
    fi
    if [ "$failures" -gt 1 ] && [ "$checkpoint" = "$last" ]; then
        say "failure $failures with status $status, and no new checkpoint since the one before: giving up"
        exit "$status"
    fi
    last=$checkpoint
    # shellcheck disable=SC2046 # a host is a word
    leave_out $(accused "$known")
    say "status $status; restart $failures of $restarts on $(count "$hosts") host(s), $ranks_per_node rank(s) each"
done
