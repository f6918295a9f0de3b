#!/bin/sh
# run.sh SUITE [options]   -- see README.md; `run.sh -h` lists suites and options.
# Everything runs in a network namespace of its own: only its loopback is loaded, ports never clash, and
# TCP's congestion control can be set without touching the machine (see README.md on why that matters).
cd "$(dirname "$0")" || exit 1
make -s || exit 1
user=
[ "$(id -u)" = 0 ] || user="--user --map-root-user"
if [ -z "$BENCH_IN_NETNS" ] && unshare $user --net true 2>/dev/null; then
    exec env BENCH_IN_NETNS=1 unshare $user --net sh -c '
        ip link set lo up
        sysctl -qw net.ipv4.tcp_congestion_control=reno 2>/dev/null
        exec python3 bench.py "$@"' sh "$@"
fi
exec python3 bench.py "$@"
