#!/usr/bin/env python3
"""Proxy bench: suites that pair the contenders round by round. See README.md. Run it through run.sh."""
import argparse, json, os, re, subprocess, time
import harness as H
from harness import Proc, Window, best_try, loadgen, med, port, pki, tool
from contenders import ALL

PC, LC = H.PROXY_CPU, H.LOAD_CPU


def wdir(*parts):
    d = os.path.join(H.BUILD, "work", *parts)
    os.makedirs(d, exist_ok=True)
    return d


def backend(size=1024, cpu=None):
    p = port()
    return Proc([tool("backend"), "-p", str(p), "-s", str(size), "-t", "3000"], LC if cpu is None else cpu, p), p


def start(argv, p, cpu=None, tag="x"):
    return Proc(argv, PC if cpu is None else cpu, p, log=os.path.join(H.BUILD, "log-%s.txt" % tag))


class Path:
    """client port -> proxies (in order) -> backend, as one contender of a suite."""
    def __init__(self, name, port, proxies):
        self.name, self.port, self.proxies = name, port, proxies


def single(names, up, method="http", cpu=None, **kw):
    """One hop a contender. A contender that cannot play the part, or is not installed, is left out."""
    out = [Path("direct", up, [])] if method.startswith("http") else []
    for n in names:
        p = port()
        argv = getattr(ALL[n], method)(wdir(method, n), p, up, **kw)
        if argv:
            out.append(Path(n, p, [start(argv, p, cpu, n)]))
    return out


def double(names, up, variants, cpu=None):
    c, out = pki(), [Path("direct", up, [])]
    for n in names:
        for v in variants:
            a, b = port(), port()
            ab = ALL[n].mesh_in(wdir("mesh", n + v, "in"), b, up, c, v)
            aa = ALL[n].mesh_out(wdir("mesh", n + v, "out"), a, b, c, v)
            if aa and ab:
                pb = start(ab, b, cpu, n + v + "in")
                out.append(Path("%s/%s" % (n, v), a, [start(aa, a, cpu, n + v + "out"), pb]))
    return out


def one_run(path, be, lcpu=None, **lo):
    """One load run through a path: rate, latency, CPU per request of each process. Retried while others use the CPUs."""
    def go():
        w = Window({"proxy": path.proxies}, load=[be] if be else [])
        per0 = [p.cpu_us()[0] for p in path.proxies]
        r = loadgen(path.port, cpu=lcpu, **dict(lo))
        x = w.close(r["client_cpu_us"])
        n = max(1, r["done_total"])
        c = x["cpu"]["proxy"]
        o = {k: r[k] for k in ("rps", "p50", "p90", "p99", "p999", "max", "s_p50", "s_p90", "s_p99", "errors", "non2xx", "done_total", "conns_made")}
        o["resumed"] = r["resumed"] / max(1, r["conns_made"])
        tot = c[0] / n
        us = c[1] + c[2] or 1
        o.update(cpu_us=tot, user_us=tot * c[1] / us, sys_us=tot * c[2] / us, client_us=r["client_cpu_us"] / n, proxy_core=x["proxy_core"],
                 each_us=[(p.cpu_us()[0] - a) / n for p, a in zip(path.proxies, per0)])
        return o, x
    return best_try(go)


def rounds(paths, n, fn, label=""):
    """A B C A B C ...: all contenders in each round, so that drift hits them alike."""
    runs = {p.name: [] for p in paths}
    for i in range(n):
        for p in paths:
            r = fn(p)
            runs[p.name].append(r)
            print("  %s round %d %-16s %s" % (label, i + 1, p.name, " ".join("%s=%.1f" % (k, r[k]) for k in ("rps", "cpu_us", "s_p50", "s_p99", "p99", "gbps", "s_per_gb", "foreign") if r.get(k) is not None) + (" NOISY" if r.get("noisy") else "")), flush=True)
    return runs


def summarise(runs, keys):
    return {n: dict({k: med([r.get(k) for r in rs]) for k in keys}, noisy=sum(1 for r in rs if r.get("noisy")), errors=sum(r.get("errors", 0) + r.get("non2xx", 0) for r in rs)) for n, rs in runs.items()}


HTTPKEYS = ("rps", "cpu_us", "user_us", "sys_us", "client_us", "p50", "p90", "p99", "p999", "s_p50", "s_p90", "s_p99", "proxy_core")


# ---------------------------------------------------------------- suites
def s_http(a):
    """Single hop, plain HTTP/1.1 keep-alive, closed loop: requests/s and CPU us/request (--full, --post, --workers)."""
    be, up = backend(a.size)
    for n in a.contenders:
        ALL[n].workers = a.workers
    cpu = None if a.workers == 1 else "%d-%d" % (min(PC, LC), max(PC, LC))
    paths = single(a.contenders, up, "http_full" if a.full else "http", cpu=cpu)
    more = {"B": a.post} if a.post else {}
    out = {}
    for c in a.conns:
        out["c%d" % c] = summarise(rounds(paths, a.rounds, lambda p: one_run(p, be, c=c, d=a.dur, w=0.5, **more), "http c=%d" % c), HTTPKEYS)
    return out


def s_latency(a):
    """Single hop at fixed rates, open loop. colocated: all on one CPU (no cross-CPU wake-up). split: proxy on its own CPU."""
    out = {}
    for topo, rates in (("colocated", (a.rate / 2, a.rate)), ("split", (a.rate,))):
        cpu = PC if topo == "colocated" else LC
        be, up = backend(a.size, cpu)
        paths = single(a.contenders, up, cpu=PC)
        for rate in rates:
            kind = "%s %g" % (topo, rate)
            out[kind] = summarise(rounds(paths, a.rounds, lambda p: one_run(p, be, lcpu=cpu, c=16, d=a.dur, w=0.5, r=rate), "latency " + kind), HTTPKEYS)
        H.stop_all()
    return out


def s_mesh(a):
    """Two proxies with mTLS between them (both on the proxy CPU): closed loop, then a fixed rate."""
    out = {}
    be, up = backend(a.size)
    paths = double(a.contenders, up, ("plain", "h1", "h2", "l4"))
    runs = rounds(paths, a.rounds, lambda p: one_run(p, be, c=64, d=a.dur, w=0.5), "mesh")
    out["closed"] = summarise(runs, HTTPKEYS)
    for n, rs in runs.items():
        out["closed"][n]["each_us"] = [med([r["each_us"][i] for r in rs])["median"] for i in range(len(rs[0]["each_us"]))]
    out["split"] = summarise(rounds(paths, a.rounds, lambda p: one_run(p, be, c=16, d=a.dur, w=0.5, r=a.rate / 2), "mesh split"), HTTPKEYS)
    H.stop_all()
    be, up = backend(a.size, PC)
    paths = double(a.contenders, up, ("plain", "h1", "h2", "l4"))
    out["colocated"] = summarise(rounds(paths, a.rounds, lambda p: one_run(p, be, lcpu=PC, c=16, d=a.dur, w=0.5, r=a.rate / 2), "mesh colocated"), HTTPKEYS)
    out["rate"] = a.rate / 2
    return out


def hold(port_, n, path="/", secs=60, more=()):
    p = subprocess.Popen(["taskset", "-c", str(LC), tool("loadgen"), *more, "-c", str(n), "-H", str(secs), "-P", path, "127.0.0.1:%d" % port_], stdout=subprocess.PIPE, text=True)
    line = p.stdout.readline()
    return p, line.strip()


SETTLE_S = 20  # by then each proxy has given back what it gives back while its connections wait (Tulle within 15 s)


def fronts(names, up, suite):
    """(contender, kind of client, its configuration on a port, loadgen's flags): plain, mTLS, HTTP/2 over mTLS."""
    c = pki()
    tls = ["-T", "-C", c["leaf.crt"], "-K", c["leaf.key"], "-A", c["ca.crt"]]
    out = []
    for n in names:
        out.append((n, "http", lambda p, n=n: getattr(ALL[n], "http_many", ALL[n].http)(wdir(suite, n + "http"), p, up), []))
        out.append((n, "tls", lambda p, n=n: ALL[n].tls_front(wdir(suite, n + "tls"), p, c), tls))
        out.append((n, "h2tls", lambda p, n=n: ALL[n].tls_front(wdir(suite, n + "h2tls"), p, c, h2=True), tls + ["-2"]))
    return out


def s_rss(a):
    """Memory: idle; with 1,000 clusters known; N connections idle after one request each (plain, mTLS, HTTP/2 over mTLS); N requests in flight."""
    out = {}
    be, up = backend(a.size)
    clusters = [(n, "clusters", lambda p, n=n: ALL[n].http_clusters(wdir("rss", n + "clusters"), p, up, 1000), []) for n in a.contenders]
    for n, kind, mk, flags in fronts(a.contenders, up, "rss") + clusters:
        p = port()
        argv = mk(p)
        if not argv:
            continue
        res = out.setdefault("%s/%s" % (n, kind), {})
        for label, cnt, path in (("idle", 0, None), ("idle100", 100, "/"), ("idle10k", 10000, "/"), ("flight100", 100, "/hold"), ("flight4k", 4000, "/hold")):
            if (kind != "http" and path == "/hold") or (kind == "clusters" and cnt):
                continue
            vals = []
            for _ in range(1 if cnt else min(3, a.rounds)):
                proc = start(argv, p, PC, n)
                time.sleep(1)
                line = None
                if cnt:
                    q, line = hold(p, cnt, path, 60, flags)
                    time.sleep(SETTLE_S)
                m = proc.mem_kb()
                if cnt:
                    m["held"] = line
                    q.kill(); q.wait()
                proc.stop()
                vals.append(m)
                time.sleep(0.2)
            m = sorted(vals, key=lambda x: x["rss"])[len(vals) // 2]
            res[label] = m
            each = "%.0f bytes each" % ((m["anon"] - res["idle"]["anon"]) * 1024 / cnt) if cnt else ""
            print("  rss %-14s %-9s rss %6d KiB anon %6d KiB %s %s" % (n + "/" + kind, label, m["rss"], m["anon"], m.get("held", ""), each), flush=True)
    return out


def s_burst(a):
    """Memory: idle; with 4,000 connections; 1 s and 30 s after they have gone (first value of -c: how many)."""
    out, many = {}, a.conns[0] if a.conns != [64] else 4000
    be, up = backend(a.size)
    for n, kind, mk, flags in fronts(a.contenders, up, "burst"):
        p = port()
        argv = mk(p)
        if not argv:
            continue
        proc = start(argv, p, PC, n)
        time.sleep(1)
        res = out["%s/%s" % (n, kind)] = {"idle": proc.mem_kb()}
        q, line = hold(p, many, "/", 60, flags)
        time.sleep(1)
        res["held"] = proc.mem_kb()
        q.kill(); q.wait()
        for after in (1, 29):
            time.sleep(after)
            res["after%d" % (1 if after == 1 else 30)] = proc.mem_kb()
        proc.stop()
        print("  burst %-14s %s (%s; of base at the end %.2f)" % (n + "/" + kind, " ".join("%s %d KiB" % (k, v["rss"]) for k, v in res.items()), line, res["after30"]["rss"] / res["idle"]["rss"]), flush=True)
    return out


def s_scale(a):
    """Memory and start with 1,000 services known: 5,000 routes, 10,000 endpoints (first value of -c: how many services)."""
    out, many = {}, a.conns[0] if a.conns != [64] else 1000
    be, up = backend(a.size)
    for n in a.contenders:
        p = port()
        argv = ALL[n].scale(wdir("scale", n), p, up, many)
        if not argv:
            continue
        t = time.perf_counter()
        proc = Proc(argv, PC, p, log=os.path.join(H.BUILD, "log-%s.txt" % n), ready=60)
        ms = (time.perf_counter() - t) * 1e3
        time.sleep(2)
        out[n] = dict(proc.mem_kb(), start_ms=ms)
        proc.stop()
        print("  scale %-10s %s" % (n, out[n]), flush=True)
    return out


def s_idle(a):
    """Start to first accepted connection, and what an idle proxy costs: wake-ups and CPU per second (100 idle connections held)."""
    out = {}
    be, up = backend(a.size)
    for n in a.contenders:
        p = port()
        argv = ALL[n].http(wdir("idle", n), p, up)
        if not argv:
            continue
        ms = []
        for _ in range(max(a.rounds, 5)):
            H.wait_quiet()
            t = time.perf_counter()
            proc = start(argv, p, PC, n)  # polls each millisecond
            ms.append((time.perf_counter() - t) * 1e3)
            proc.stop()
        proc = start(argv, p, PC, n)
        q, _ = hold(p, 100, "/", SETTLE_S + 12)
        time.sleep(SETTLE_S)
        sw = lambda: sum(int(x) for pid in proc.pids() for t in os.listdir("/proc/%d/task" % pid) for x in re.findall(r"ctxt_switches:\s+(\d+)", open("/proc/%d/task/%s/status" % (pid, t)).read()))
        s0, c0 = sw(), proc.cpu_us()[0]
        time.sleep(8)
        out[n] = {"start_ms": med(ms), "switches_per_s": (sw() - s0) / 8, "cpu_us_per_s": (proc.cpu_us()[0] - c0) / 8}
        q.kill(); q.wait(); proc.stop()
        print("  idle %-10s %s" % (n, out[n]), flush=True)
    return out


def s_tls(a):
    """A new connection for each request: plain, with a full TLS 1.3 mutual handshake, with a resumed one; keep-alive."""
    c, out, be = pki(), {}, None
    paths = []
    for n in a.contenders:
        made = {"mtls": lambda d, p: ALL[n].tls_front(d, p, c), "plain": lambda d, p: ALL[n].answer(d, p),
                "resumed": lambda d, p: ALL[n].tls_front(d, p, c, resume=True)}
        for kind, make in made.items():
            p = port()
            argv = make(wdir("tls", n + kind), p)
            if argv:
                paths.append(Path(n + "/" + kind, p, [start(argv, p, PC, n)]))
    tls = ["-T", "-C", c["leaf.crt"], "-K", c["leaf.key"], "-A", c["ca.crt"]]
    flags = {"mtls": tls, "plain": [], "resumed": tls + ["-S"]}
    runs = rounds(paths, a.rounds, lambda p: one_run(p, be, c=16, d=a.dur, w=0.5, flags=["-n"] + flags[p.name.split("/")[1]]), "tls")
    out["new_connections"] = summarise(runs, HTTPKEYS + ("resumed",))
    runs = rounds([p for p in paths if "mtls" in p.name], a.rounds, lambda p: one_run(p, be, c=64, d=a.dur, w=1.0, flags=tls), "tls keep-alive")
    out["keepalive"] = summarise(runs, HTTPKEYS)
    return out


def bulk_run(path, src, conns, sink="sink"):
    def go():
        w = Window({"proxy": path.proxies}, load=[src])
        t0 = os.times()
        p = subprocess.run(["taskset", "-c", str(LC), tool("bulk"), sink, "-d", "2", "-w", "0.5", "-c", str(conns), "127.0.0.1:%d" % path.port], capture_output=True, text=True, timeout=60)
        if not p.stdout.strip():
            raise RuntimeError(p.stderr)
        r, t1 = json.loads(p.stdout), os.times()
        x = w.close((t1.children_user - t0.children_user + t1.children_system - t0.children_system) * 1e6)
        gb = r["bytes_total"] / 1e9
        cpu = x["cpu"]["proxy"][0] / 1e6
        return {"gbps": r["gbps"], "s_per_gb": cpu / gb if gb else None, "proxy_core": x["proxy_core"], "gb_per_core_s": gb / cpu if cpu else None}, x
    return best_try(go)


def s_tcp(a):
    """Bulk TCP through the proxy: GB/s and CPU seconds per GB; with and without splice; through an mTLS pair."""
    sp = port()
    src = Proc([tool("bulk"), "source", "-p", str(sp), "-t", "3000"], LC, sp)
    c = pki()
    paths = [Path("direct", sp, [])]
    for n in a.contenders:
        for label, s in (("", None), ("+splice", True)):
            p = port()
            argv = ALL[n].tcp(wdir("tcp", n + label), p, sp, splice=s)
            if argv:
                paths.append(Path(n + label, p, [start(argv, p, PC, n)]))
    paths += [p for p in double([n for n in a.contenders if not n.startswith("null")], sp, ("l4",)) if p.proxies]
    return summarise(rounds(paths, a.rounds, lambda p: bulk_run(p, src, 4), "tcp"), ("gbps", "s_per_gb", "gb_per_core_s", "proxy_core"))


def whole_run(path, be, colocated, **lo):
    """One load run, and what everyone on the host pays for a request: client, proxy, backend."""
    def go():
        w, b0 = Window({"proxy": path.proxies}, load=[be]), be.cpu_us()[0]
        r = loadgen(path.port, cpu=PC if colocated else None, **dict(lo))
        x = w.close(r["client_cpu_us"])
        n = max(1, r["done_total"])
        proxy, backend_us, client = x["cpu"]["proxy"][0] / n, (be.cpu_us()[0] - b0) / n, r["client_cpu_us"] / n
        o = {k: r[k] for k in ("rps", "p50", "s_p50", "s_p99", "errors", "non2xx")}
        return dict(o, cpu_us=proxy, apps_us=backend_us + client, whole_us=proxy + backend_us + client), x
    return best_try(go)


def need_short_cut(path):
    """The kernel may refuse it; then the proxy serves by TCP, and there is nothing to compare."""
    log = os.path.join(H.BUILD, "log-%s.txt" % path.name)
    text = open(log).read() if os.path.exists(log) else ""
    if "take the sockmap short cut" not in text:
        raise SystemExit("no sockmap short cut here:\n" + text)


def s_sockmap(a):
    """The short cut between applications and their proxy: CPU a request of all three and latency, small and large bodies; bulk."""
    names, out = ("tulle", "tulle-sockmap"), {}
    keys = ("rps", "cpu_us", "apps_us", "whole_us", "s_p50", "s_p99")
    cases = [("128 B", 128, 64, 0), ("1 KB", 1024, 1, 0), ("1 KB", 1024, 64, 0), ("16 KB", 16384, 64, 0), ("128 KB", 131072, 16, 0), ("1 MB", 1 << 20, 16, 0), ("1 KB", 1024, 64, a.rate / 2)]
    for label, size, conns, rate in cases:
        be, up = backend(size, PC if rate else LC)
        paths = single(names, up)[1:]
        for p in paths:
            if p.name == "tulle-sockmap": need_short_cut(p)
        more = {"r": rate} if rate else {}
        name = "%s, %d connections%s" % (label, conns, ", %d a second, one CPU" % rate if rate else "")
        out[name] = summarise(rounds(paths, a.rounds, lambda p: whole_run(p, be, bool(rate), c=conns, d=a.dur, w=0.5, **more), name), keys)
        H.stop_all()
    sp = port()
    src = Proc([tool("bulk"), "source", "-p", str(sp), "-t", "3000"], LC, sp)
    paths = []
    for n in names:
        p = port()
        paths.append(Path(n, p, [start(ALL[n].tcp(wdir("sockmap", n), p, sp, splice=True), p, PC, n)]))
    out["bulk"] = summarise(rounds(paths, a.rounds, lambda p: bulk_run(p, src, 4, "copysink"), "bulk"), ("gbps", "s_per_gb", "gb_per_core_s"))
    return out


def udp_run(path, echo, **o):
    def go():
        w = Window({"proxy": path.proxies}, load=[echo])
        argv = ["taskset", "-c", str(LC), tool("udpload"), "load"] + [str(x) for k, v in o.items() for x in ("-" + k, v)] + ["127.0.0.1:%d" % path.port]
        r = json.loads(subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout)
        x = w.close(r["cpu_us"])
        cpu = x["cpu"]["proxy"][0]
        return {"rps": r["exchanges"] / r["seconds"], "lost": r["lost"], "cpu_us": cpu / max(1, 2 * r["exchanges"]) if cpu else None,
                "per_cpu_s": 2e6 * r["exchanges"] / cpu if cpu else None, "proxy_core": x["proxy_core"]}, x
    return best_try(go)


def s_udp(a):
    """UDP in sessions: CPU a datagram (each exchange is two): many clients, few with much in flight, and runs (UDP_SEGMENT)."""
    up = port()
    echo = Proc([tool("udpload"), "echo", str(up)], LC)
    paths = [Path("direct", up, [])]
    for n in a.contenders:
        p = port()
        argv = ALL[n].udp(wdir("udp", n), p, up)
        if argv:
            paths.append(Path(n, p, [Proc(argv, PC, log=os.path.join(H.BUILD, "log-udp-%s.txt" % n))]))
    time.sleep(2)  # there is no connection to wait for
    loads = {"256 clients, 100 B": dict(c=256, w=1, s=100), "8 clients, 32 in flight, 1200 B": dict(c=8, w=32, s=1200),
             "8 clients, runs of 16, 1200 B": dict(c=8, w=32, s=1200, g=16)}
    keys = ("rps", "cpu_us", "per_cpu_s", "lost", "proxy_core")
    return {name: summarise(rounds(paths, a.rounds, lambda p: udp_run(p, echo, d=a.dur, **load), name), keys) for name, load in loads.items()}


def h2load(port_, path, conns, streams, n, data=None, h1=False):
    argv = ["taskset", "-c", str(LC), "h2load", "-t", "1", "-c", str(conns), "-m", str(streams), "-n", str(n)]
    if h1: argv.append("--h1")
    if data: argv += ["-d", data, "-H", "content-type: application/grpc", "-H", "te: trailers"]
    t0 = os.times()
    p = subprocess.run(argv + ["http://127.0.0.1:%d%s" % (port_, path)], capture_output=True, text=True, timeout=120)
    t1 = os.times()
    m = re.search(r"finished in ([\d.]+)(m?s|us), ([\d.]+) req/s", p.stdout)
    ok = re.search(r"(\d+) succeeded, (\d+) failed", p.stdout)
    lat = re.search(r"time for request:\s+(\S+)\s+(\S+)\s+(\S+)", p.stdout)
    return {"rps": float(m.group(3)), "ok": int(ok.group(1)), "errors": int(ok.group(2)), "mean_lat": lat.group(3) if lat else None,
            "client_cpu_us": (t1.children_user - t0.children_user + t1.children_system - t0.children_system) * 1e6}


GRPC_CALL, GRPC_TRAILER = "/helloworld.Greeter/SayHello", "--trailer=grpc-status: 0"


def h2_backend(size, *more):
    """nghttpd with a file of `size` bytes at /k, and an answer to unary gRPC calls: the process, its port, a call's message."""
    docs, up = wdir("docs"), port()
    os.makedirs(os.path.join(docs, "helloworld.Greeter"), exist_ok=True)
    with open(os.path.join(docs, "k"), "w") as f: f.write("x" * size)
    with open(docs + GRPC_CALL, "wb") as f: f.write(b"\0\0\0\0\x0d\x0a\x0bHello world")
    msg = os.path.join(docs, "msg")
    with open(msg, "wb") as f: f.write(b"\0\0\0\0\x07\x0a\x05world")
    return Proc(["nghttpd", "--no-tls", "-d", docs, "--max-concurrent-streams=1000", *more, str(up)], LC, up), up, msg


def s_h2(a):
    """HTTP/2 without TLS, many small requests multiplexed: GET of 1 KB, and gRPC-like unary calls with trailers."""
    out = {}
    for kind, path, extra in (("get1k", "/k", []), ("grpc", GRPC_CALL, [GRPC_TRAILER])):
        be, up, msg = h2_backend(a.size, *extra)
        data = msg if kind == "grpc" else None
        paths = [Path("direct", up, [])] + single(a.contenders, up, "h2")
        def run(p):
            def go():
                w = Window({"proxy": p.proxies}, load=[be])
                n = int(100000 * a.dur)
                r = h2load(p.port, path, 4, a.streams, n, data)
                x = w.close(r["client_cpu_us"])
                tot = x["cpu"]["proxy"]
                r["cpu_us"] = tot[0] / n
                s = tot[1] + tot[2] or 1
                r["user_us"], r["sys_us"] = r["cpu_us"] * tot[1] / s, r["cpu_us"] * tot[2] / s
                r["proxy_core"] = x["proxy_core"]
                return r, x
            return best_try(go)
        out[kind] = summarise(rounds(paths, a.rounds, run, "h2 " + kind), ("rps", "cpu_us", "user_us", "sys_us", "proxy_core"))
        H.stop_all()
    return out


def syscall_counts(pids, port_, rate, conns, secs=3):
    """System calls per request from the raw_syscalls tracepoint (perf stat: hardly slows the proxy), and by name (strace: does)."""
    out = {}
    ids = ",".join(map(str, pids))
    p = subprocess.Popen(["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter,context-switches", "-p", ids, "sleep", str(secs + 0.5)], stderr=subprocess.PIPE, text=True)
    time.sleep(0.3)
    r = loadgen(port_, c=conns, d=secs - 1, w=0.2, **({"r": rate} if rate else {}))
    err = p.communicate(timeout=60)[1]
    for line in err.splitlines():
        f = line.split(",")
        if len(f) > 2 and f[0].isdigit():
            out["syscalls" if "sys_enter" in f[2] else "switches"] = int(f[0]) / r["done_total"]
    names = {}
    log = os.path.join(H.BUILD, "strace.txt")
    p = subprocess.Popen(["strace", "-f", "-c", "-o", log] + sum((["-p", str(x)] for x in pids), []), stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    r = loadgen(port_, c=conns, d=2, w=0.2, r=min(rate or 3000, 3000))
    p.send_signal(2); p.wait(20)
    for line in open(log):
        f = line.split()
        if len(f) >= 5 and f[0].replace(".", "").isdigit() and f[-1] != "total":
            names[f[-1]] = round(int(f[3]) / r["done_total"], 2)
    out["by_name_at_3k_rps"] = dict(sorted(names.items(), key=lambda x: -x[1])[:8])
    return out


def s_profile(a):
    """System calls per request at saturation and at a low rate."""
    out = {}
    be, up = backend(a.size)
    for p in single(a.contenders, up) + double([n for n in a.contenders], up, ("plain", "h1", "h2", "l4")):
        if not p.proxies:
            continue
        res = []
        for q in p.proxies:
            res.append({"saturated_c64": syscall_counts(q.pids(), p.port, None, 64), "rate2k_c16": syscall_counts(q.pids(), p.port, 2000, 16)})
        out[p.name] = res
        for i, r in enumerate(res):
            print("  profile %-14s #%d saturated %.2f low-rate %.2f syscalls/request; %s" % (p.name, i, r["saturated_c64"]["syscalls"], r["rate2k_c16"]["syscalls"], r["rate2k_c16"]["by_name_at_3k_rps"]), flush=True)
    return out


def callgrind(argv, p, entry, n):
    """User-space instructions of argv over n or more requests sent to `entry`, and how many they were."""
    out = os.path.join(H.BUILD, "callgrind.%d" % p)
    proc = Proc(["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, *argv], PC, p, ready=90)
    done = 0
    while done < n:  # one connection, a low rate: each request is by itself, so the count hardly varies
        done += loadgen(entry, c=1, d=max(1, (n - done) / 500), w=0, r=500)["done_total"]
    proc.stop()
    with open(out) as f:
        m = re.search(r"^(?:summary|totals): (\d+)", f.read(), re.M)
    os.unlink(out)
    return (int(m.group(1)), done) if m else None


def per_request(one, lo=500, hi=2500):
    """Start-up and shut-down cancel out: the difference of a long and a short run."""
    x, y = one(lo), one(hi)
    return (y[0] - x[0]) / (y[1] - x[1]) if x and y else None


def pair_side(n, v, side, up, c, run):
    """run(argv, its port, the port that clients ask, the other process) of one side of the mTLS pair; the other is started first."""
    pc, po = port(), port()
    A = ALL[n].mesh_out(wdir("cg", n + v + "o"), pc if side == "out" else po, po if side == "out" else pc, c, v)
    B = ALL[n].mesh_in(wdir("cg", n + v + "i"), po if side == "out" else pc, up, c, v)
    if not A or not B:
        return None
    other = start(B if side == "out" else A, po, LC, "cgother")
    try:
        return run(A if side == "out" else B, pc, pc if side == "out" else po, other)
    finally:
        other.stop()


def s_instr(a):
    """User-space instructions per request under callgrind: (count after N+M requests - count after N) / M. Repeatable to under 1 %."""
    out, c = {}, pki()
    be, up = backend(a.size)
    for n in a.contenders:
        if not ALL[n].http(wdir("cg", n), 1, up) or "uring" in n:  # valgrind 3.19 has no io_uring of today
            continue
        def one(cnt, n=n):
            p = port()
            return callgrind(ALL[n].http(wdir("cg", n), p, up), p, p, cnt)
        out[n] = {"http": med([per_request(one) for _ in range(3)])}
        print("  instr %-10s %s" % (n, out[n]["http"]), flush=True)
        for v in ("h1", "h2", "l4"):  # the mTLS pair: one side under callgrind, the other native
            for side in ("out", "in"):
                r = per_request(lambda cnt: pair_side(n, v, side, up, c, lambda argv, p, entry, other: callgrind(argv, p, entry, cnt)))
                if r:
                    out[n]["mesh %s %s" % (v, side)] = r
                    print("  instr %s/%s %s %.0f" % (n, v, side, r), flush=True)
    return out


def alloc_count(argv, p, entry):
    """Heap allocations a request in steady state: of 20,000 requests on 16 warm connections, all threads."""
    path = os.path.join(H.BUILD, "allocations")
    with open(path, "wb") as f:
        f.write(bytes(8))
    proc = Proc(argv, PC, p, env={"COUNT_ALLOC": path, "LD_PRELOAD": tool("countalloc.so")})
    read = lambda: int.from_bytes(open(path, "rb").read(8), "little")
    q = subprocess.Popen(["taskset", "-c", str(LC), tool("loadgen"), "-J", "-c", "16", "-r", "5000", "-w", "2", "-d", "4", "127.0.0.1:%d" % entry],
                         stdout=subprocess.PIPE, text=True)
    time.sleep(2)  # connections made and pools filled
    before, cpu = read(), proc.cpu_us()[0]
    time.sleep(3)
    after = read()
    r = json.loads(q.communicate(timeout=30)[0])
    proc.stop()
    return (after - before) / (3 * r["rps"])


def alloc_count_grpc(name):
    """Heap allocations a unary gRPC call: a long run of h2load less a short one, which costs the same connections."""
    path, p = os.path.join(H.BUILD, "allocations"), port()
    with open(path, "wb") as f:
        f.write(bytes(8))
    be, up, msg = h2_backend(1024, GRPC_TRAILER)
    proc = Proc(ALL[name].h2(wdir("gate", "h2"), p, up), PC, p, env={"COUNT_ALLOC": path, "LD_PRELOAD": tool("countalloc.so")})
    def run(calls):
        before = int.from_bytes(open(path, "rb").read(8), "little")
        h2load(p, GRPC_CALL, 4, 100, calls, msg)
        return int.from_bytes(open(path, "rb").read(8), "little") - before
    run(20000)  # pools filled
    short, long = run(1000), run(41000)
    proc.stop(); be.stop()
    return max(0, long - short) / 40000


def s_gate(a):
    """Tulle against bench/baseline.json: instructions, system calls, allocations a request; memory. --record writes it."""
    name = "tulle"
    be, up = backend(a.size)
    p = port()
    argv = lambda p, method="http": getattr(ALL[name], method)(wdir("gate"), p, up)
    if not argv(1):
        raise SystemExit("gate: %s is not built" % name)
    got = {}
    for method, kind in (("http", ""), ("http_full", "_full")):
        def one(cnt):
            p = port()
            return callgrind(argv(p, method), p, p, cnt)
        got["instructions" + kind] = med([per_request(one, 300, 1300) for _ in range(3)])["median"]
        p = port()
        got["allocations" + kind] = alloc_count(argv(p, method), p, p)
    c = pki()
    for side in ("out", "in"):  # of the pair that speaks HTTP/2 over mTLS
        got["instructions_h2_" + side] = per_request(lambda cnt: pair_side(name, "h2", side, up, c, lambda argv, p, entry, other: callgrind(argv, p, entry, cnt)), 300, 1300)
        got["allocations_h2_" + side] = pair_side(name, "h2", side, up, c, lambda argv, p, entry, other: alloc_count(argv, p, entry))
    got["allocations_grpc"] = alloc_count_grpc(name)
    p = port()
    proc = start(argv(p), p, PC, name)
    time.sleep(1)
    got["rss_idle_kib"] = proc.mem_kb()["rss"]
    got["anon_idle_kib"] = proc.mem_kb()["anon"]
    q, _ = hold(p, 1000, "/", SETTLE_S + 10)
    time.sleep(SETTLE_S)
    got["bytes_per_idle_connection"] = (proc.mem_kb()["anon"] - got["anon_idle_kib"]) * 1024 / 1000
    q.kill(); q.wait()
    got["syscalls_busy"] = syscall_counts(proc.pids(), p, None, 64).get("syscalls")
    proc.stop()
    for kind, flags in (("mtls", []), ("h2_mtls", ["-2"])):
        p = port()
        proc = start(ALL[name].tls_front(wdir("gate", kind), p, c, h2=bool(flags)), p, PC, name)
        time.sleep(1)
        ready = proc.mem_kb()
        if not flags:
            got["rss_tls_ready_kib"], got["anon_tls_ready_kib"] = ready["rss"], ready["anon"]
        q, _ = hold(p, 1000, "/", SETTLE_S + 10, ["-T", "-C", c["leaf.crt"], "-K", c["leaf.key"], "-A", c["ca.crt"], *flags])
        time.sleep(SETTLE_S)
        got["bytes_per_idle_%s_connection" % kind] = (proc.mem_kb()["anon"] - ready["anon"]) * 1024 / 1000
        q.kill(); q.wait(); proc.stop()
    path = os.path.join(H.HERE, "baseline.json")
    base = json.load(open(path)) if os.path.exists(path) else {}
    if a.record:
        with open(path, "w") as f:
            f.write(json.dumps({k: round(v, 3) for k, v in got.items()}, indent=2) + "\n")
    # What a measurement may exceed its baseline by before it is a regression: its own scatter, relative and absolute.
    slack = {"instructions": (0.02, 0), "instructions_full": (0.02, 0), "allocations": (0, 0.01), "allocations_full": (0, 0.01),
             "rss_idle_kib": (0.02, 128), "anon_idle_kib": (0.02, 64), "bytes_per_idle_connection": (0.02, 64),
             "rss_tls_ready_kib": (0.02, 192), "anon_tls_ready_kib": (0.02, 96), "bytes_per_idle_mtls_connection": (0.05, 256), "syscalls_busy": (0.02, 0.1),
             "instructions_h2_out": (0.02, 0), "instructions_h2_in": (0.02, 0), "allocations_h2_out": (0, 0.01), "allocations_h2_in": (0, 0.01),
             "allocations_grpc": (0, 0.01), "bytes_per_idle_h2_mtls_connection": (0.05, 256)}
    worse = 0
    for k, v in got.items():
        limit = base[k] * (1 + slack[k][0]) + slack[k][1] if k in base else None
        bad = limit is not None and v > limit
        worse += bad
        print("  gate %-28s %12.2f  baseline %12s  %s" % (k, v, "%.2f" % base[k] if k in base else "-", "WORSE" if bad else "ok"), flush=True)
    print("%d passed, %d failed" % (len(got) - worse, worse))
    if worse and not a.record:
        raise SystemExit(1)
    return got


def s_limits(a):
    """This machine's floor: system calls, loopback, memory, TLS."""
    c, out = pki(), {}
    runs = [json.loads(subprocess.run([tool("limits"), str(PC), str(LC)], capture_output=True, text=True, timeout=120).stdout) for _ in range(3)]
    out["machine"] = {k: min(r[k] for r in runs) if "GBps" not in k else max(r[k] for r in runs) for k in runs[0]}
    files = [c["leaf.crt"], c["leaf.key"], c["ca.crt"]]
    for lib in ("tlsbench", "tlsbench-boring"):
        if not os.path.exists(tool(lib)): continue
        t = lambda *x: json.loads(subprocess.run(["taskset", "-c", str(PC), tool(lib), x[0], *files, *x[1:]], capture_output=True, text=True, timeout=60).stdout)
        hs = [t("hs", "1.5") for _ in range(a.rounds)]
        out[lib] = {"server_us": med([h["server_us"] for h in hs]), "client_us": med([h["client_us"] for h in hs]), "bulk16k": t("bulk", "16384"), "bulk1k": t("bulk", "1024"), "mem": t("mem", "1000")}
    sp = {}
    for alg in ("ecdsap256", "ecdhx25519", "rsa2048"):
        t = subprocess.run(["taskset", "-c", str(PC), "openssl", "speed", "-seconds", "2", alg], capture_output=True, text=True).stdout.strip().splitlines()[-1]
        sp[alg] = t.strip()
    for alg in ("aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"):
        for b in ("1024", "16384"):
            t = subprocess.run(["taskset", "-c", str(PC), "openssl", "speed", "-seconds", "1", "-evp", alg, "-bytes", b], capture_output=True, text=True).stdout.strip().splitlines()[-1]
            sp["%s/%s" % (alg, b)] = t.split()[-1]
    out["openssl_speed"] = sp
    print(json.dumps(out, indent=1))
    return out


SUITES = {k[2:]: v for k, v in list(globals().items()) if k.startswith("s_") and callable(v)}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog="suites:\n" + "\n".join("  %-9s %s" % (k, v.__doc__.split("\n")[0]) for k, v in SUITES.items()))
    ap.add_argument("suite", choices=list(SUITES) + ["all"])
    ap.add_argument("-C", "--contenders", default=",".join(n for n in ALL if n != "tulle-sockmap"), help="comma list of %s" % ",".join(ALL))
    ap.add_argument("-r", "--rounds", type=int, default=5)
    ap.add_argument("-d", "--dur", type=float, default=2.0, help="measured seconds of one run")
    ap.add_argument("-s", "--size", type=int, default=1024, help="bytes of the answer's body")
    ap.add_argument("-R", "--rate", type=float, default=10000, help="requests/s of the fixed-rate runs")
    ap.add_argument("-c", "--conns", default="64", help="comma list of connection counts of the closed loop")
    ap.add_argument("-B", "--post", type=int, default=0, help="http: POST a body of this many bytes")
    ap.add_argument("-S", "--streams", type=int, default=100, help="h2: streams at a time on each of 4 connections")
    ap.add_argument("-w", "--workers", type=int, default=1, help="http: worker threads of each proxy; above 1 they share both CPUs with the load")
    ap.add_argument("-f", "--full", action="store_true", help="http: with metrics, access log and timeouts")
    ap.add_argument("--record", action="store_true", help="gate: write bench/baseline.json")
    ap.add_argument("-o", "--out", default=os.path.join(H.BUILD, "results"), help="directory for SUITE.json")
    ap.add_argument("-m", "--merge", action="store_true", help="add to an earlier SUITE.json instead of replacing it")
    a = ap.parse_args()
    a.contenders = [x for x in a.contenders.split(",") if x]
    a.conns = [int(x) for x in a.conns.split(",")]
    os.makedirs(a.out, exist_ok=True)
    for s in ([s for s in SUITES if s != "gate"] if a.suite == "all" else [a.suite]):
        print("== %s: %s" % (s, SUITES[s].__doc__.split("\n")[0]), flush=True)
        try:
            r = SUITES[s](a)
        finally:
            H.stop_all()
        kind = ("-full" if a.full else "") + ("-post" if a.post else "") + ("-1m" if a.size == 1 << 20 else "") + ("-w%d" % a.workers if a.workers > 1 else "")
        name = os.path.join(a.out, s + kind + ".json")
        if a.merge and os.path.exists(name):
            r = dict(json.load(open(name))["result"], **r)
        cc = open("/proc/sys/net/ipv4/tcp_congestion_control").read().strip()
        with open(name, "w") as f:
            json.dump({"suite": s, "rounds": a.rounds, "dur": a.dur, "size": a.size, "post": a.post, "date": time.strftime("%Y-%m-%d"), "kernel": os.uname().release, "cpus": H.NCPU, "congestion": cc, "result": r}, f, indent=1)


if __name__ == "__main__":
    main()
