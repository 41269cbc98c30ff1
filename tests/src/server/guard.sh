# Runs one server and outlives whoever started it.
#
# usage: guard.sh FOLDER SIGNAL COMMAND [ARGUMENT...]
#
# Standard input is a pipe whose other end only the starter holds. It closes when the starter
# ends, by whatever cause, SIGKILL included: then the server is stopped with SIGNAL and FOLDER is
# removed. Until then each line is an order: `start` (answered by the process ID) or `crash`
# (answered by `crashed` once the process is gone).
folder=$1
signal=$2
shift 2
server=

stop() {
    [ -n "$server" ] || return 0
    kill -s "$signal" "$server" 2>/dev/null
    # One that a test has suspended could not end.
    kill -s CONT "$server" 2>/dev/null
    # A child of this shell until here, so its ID can't have been given to another process.
    wait "$server" 2>/dev/null
    server=
}

finish() {
    trap - EXIT HUP INT TERM
    stop
    rm -rf "$folder"
    exit 0
}
trap finish EXIT HUP INT TERM

while read -r order; do
    case $order in
    start)
        "$@" </dev/null >>"$folder/log" 2>&1 &
        server=$!
        echo "$server"
        ;;
    crash)
        stop
        echo crashed
        ;;
    esac
done
