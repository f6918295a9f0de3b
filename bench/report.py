#!/usr/bin/env python3
"""Prints results/*.json as Markdown tables: median (min-max). Usage: report.py [RESULTS_DIR]"""
import json, os, sys

D = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "bench", "results")


def load(s):
    p = os.path.join(D, s + ".json")
    return json.load(open(p))["result"] if os.path.exists(p) else None


def f(m, d=1):
    if m is None: return "-"
    if not isinstance(m, dict): return "%.*f" % (d, m)
    if abs(m["max"] - m["min"]) < 0.5 * 10 ** -d: return "%.*f" % (d, m["median"])
    return "%.*f (%.*f-%.*f)" % (d, m["median"], d, m["min"], d, m["max"])


def table(head, rows):
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for r in rows: print("| " + " | ".join(str(x) for x in r) + " |")
    print()


def k(m): return f({x: m[x] / 1000 for x in ("median", "min", "max")}) if m else "-"


def load_table(t, res, extra=()):
    print("### " + t + "\n")
    base = res.get("null-epoll") or res.get("null-epoll/plain")
    table(["path", "k req/s", "proxy CPU us/req", "user us", "kernel us", "x null", "noisy runs"],
          [[n, k(r["rps"]), f(r["cpu_us"], 2), f(r["user_us"]["median"]), f(r["sys_us"]["median"]),
            "%.2f" % (r["cpu_us"]["median"] / base["cpu_us"]["median"]) if base and r["cpu_us"]["median"] else "-", r["noisy"]] for n, r in res.items()])


def lat_table(t, res):
    print("### " + t + "\n")
    table(["path", "p50 us from send", "p99 us from send", "p50 us from intended", "p99 us from intended", "CPU us/req", "noisy runs"],
          [[n, f(r["s_p50"]), f(r["s_p99"], 0), f(r["p50"]), f(r["p99"], 0), f(r["cpu_us"]), r["noisy"]] for n, r in res.items()])


r = load("http")
if r:
    for c, v in r.items(): load_table("http, single hop, closed loop, %s connections" % c[1:], v)
r = load("latency")
if r:
    for t, v in r.items(): lat_table("latency, single hop, %s req/s" % t, v)
r = load("mesh")
if r:
    load_table("mesh (two proxies, mTLS between), closed loop, 64 connections", r["closed"])
    for t in ("colocated", "split"): lat_table("mesh at %g req/s, %s" % (r["rate"], t), r[t])
r = load("tls")
if r:
    load_table("tls: a new connection for each request", r["new_connections"])
    load_table("tls: keep-alive, answered by the proxy itself", r["keepalive"])
r = load("tcp")
if r:
    print("### tcp, bulk, 4 connections\n")
    table(["path", "GB/s", "CPU s/GB", "GB per CPU s"], [[n, f(v["gbps"], 2), f(v["s_per_gb"], 3), f(v["gb_per_core_s"], 2)] for n, v in r.items()])
r = load("h2")
if r:
    for t, v in r.items(): load_table("h2c, 4 connections, " + t, v)
r = load("rss")
if r:
    print("### memory, KiB resident (anonymous)\n")
    cols = ["idle", "idle100", "idle10k", "flight100", "flight4k"]
    table(["proxy"] + cols, [[n] + ["%d (%d)" % (v[c]["rss"], v[c]["anon"]) if c in v else "-" for c in cols] for n, v in r.items()])
r = load("idle")
if r:
    print("### start and idle\n")
    table(["proxy", "exec to first connection ms", "wake-ups/s idle", "CPU us/s idle"], [[n, f(v["start_ms"]), f(v["switches_per_s"], 2), f(v["cpu_us_per_s"], 0)] for n, v in r.items()])
r = load("profile")
if r:
    print("### system calls and context switches per request, by proxy process\n")
    table(["proxy", "saturated (64 connections)", "2000 req/s", "switches at 2000 req/s", "by name at 2-3k req/s (strace)"],
          [["%s #%d" % (n, i + 1), "%.2f" % x["saturated_c64"]["syscalls"], "%.2f" % x["rate2k_c16"]["syscalls"], "%.2f" % x["rate2k_c16"].get("switches", 0),
            ", ".join("%s %g" % kv for kv in x["rate2k_c16"]["by_name_at_3k_rps"].items() if kv[1] >= 0.1)] for n, v in r.items() for i, x in enumerate(v)])
r = load("instr")
if r:
    print("### user-space instructions per request (callgrind)\n")
    table(["proxy", "part", "instructions"], [[n, p, f(x, 0)] for n, v in r.items() for p, x in v.items()])
r = load("limits")
if r:
    print("### limits\n")
    table(["what", "value"], [[n, "%g" % v] for n, v in r["machine"].items()] +
          [["%s %s" % (l, n), f(r[l][n])] for l in ("tlsbench", "tlsbench-boring") if l in r for n in ("server_us", "client_us")] +
          [["%s %s %s" % (l, b, n), "%g" % v] for l in ("tlsbench", "tlsbench-boring") if l in r for b in ("bulk1k", "bulk16k", "mem") for n, v in r[l][b].items()] +
          [["openssl speed " + n, v] for n, v in r["openssl_speed"].items()])
