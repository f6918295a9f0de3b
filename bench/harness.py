"""Processes, CPU and memory accounting, load tools. Standard library only."""
import json, os, re, shutil, signal, socket, statistics, subprocess, time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
BUILD = os.path.join(TOP, "build", "bench")
NCPU = os.cpu_count() or 1
PROXY_CPU = int(os.environ.get("BENCH_PROXY_CPU", "0"))
LOAD_CPU = int(os.environ.get("BENCH_LOAD_CPU", str(min(1, NCPU - 1))))
TICK = os.sysconf("SC_CLK_TCK")
NICE = int(os.environ.get("BENCH_NICE", "0"))


def tool(name):
    return os.path.join(BUILD, name)


def _read(path):
    with open(path) as f:
        return f.read()


# ---------------------------------------------------------------- processes
class Proc:
    """A process pinned to a CPU, ended by PID; its CPU time and memory include its children."""
    live = []

    def __init__(self, argv, cpu, port=None, log=None, env=None, ready=10):
        self.argv, self.cpu = argv, cpu
        self.log = log or os.path.join(BUILD, "last-%s.log" % os.path.basename(argv[0]))
        with open(self.log, "w") as f:
            self.p = subprocess.Popen(["taskset", "-c", str(cpu), *argv] if cpu is not None else argv, stdin=subprocess.DEVNULL,
                                      stdout=f, stderr=f, env=dict(os.environ, **(env or {})), preexec_fn=lambda: NICE and os.nice(NICE))
        Proc.live.append(self)
        if port:
            self.wait_port(port, ready)

    def wait_port(self, port, secs):
        end = time.time() + secs
        while time.time() < end:
            if self.p.poll() is not None:
                break
            with socket.socket() as s:
                s.settimeout(0.5)
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.001)
        self.stop()
        raise RuntimeError("%s did not listen on %d:\n%s" % (self.argv[0], port, _read(self.log)[-2000:]))

    def pids(self):
        out, todo = [], [self.p.pid]
        while todo:
            pid = todo.pop()
            out.append(pid)
            try:
                for t in os.listdir("/proc/%d/task" % pid):
                    todo += [int(x) for x in _read("/proc/%d/task/%s/children" % (pid, t)).split()]
            except OSError:
                pass
        return out

    def cpu_us(self):
        """(user+system us by the scheduler's clock, user us, system us)."""
        run = user = sysm = 0
        for pid in self.pids():
            try:
                for t in os.listdir("/proc/%d/task" % pid):
                    run += int(_read("/proc/%d/task/%s/schedstat" % (pid, t)).split()[0])
                f = _read("/proc/%d/stat" % pid).rsplit(")", 1)[1].split()
                user += int(f[11]) * 1e6 / TICK
                sysm += int(f[12]) * 1e6 / TICK
            except OSError:
                pass
        return run / 1e3, user, sysm

    def mem_kb(self):
        """{'rss','pss','anon'} in KiB, summed over the process and its children."""
        out = {"rss": 0, "pss": 0, "anon": 0}
        for pid in self.pids():
            try:
                t = _read("/proc/%d/smaps_rollup" % pid)
            except OSError:
                continue
            for k, n in (("rss", "Rss"), ("pss", "Pss"), ("anon", "Anonymous")):
                m = re.search(r"^%s:\s+(\d+) kB" % n, t, re.M)
                out[k] += int(m.group(1)) if m else 0
        return out

    def stop(self):
        if self in Proc.live:
            Proc.live.remove(self)
        pids = self.pids()
        for sig, wait in ((signal.SIGTERM, 30 if "valgrind" in self.argv[0] else 3), (signal.SIGKILL, 3)):
            if self.p.poll() is not None:
                break
            self.p.send_signal(sig)
            try:
                self.p.wait(wait)
            except subprocess.TimeoutExpired:
                pass
        for pid in pids[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass


def stop_all():
    for p in list(Proc.live):
        p.stop()


# ---------------------------------------------------------------- measuring
def machine_busy_us():
    f = [int(x) for x in _read("/proc/stat").split("\n", 1)[0].split()[1:]]
    return (f[0] + f[1] + f[2] + f[5] + f[6]) * 1e6 / TICK, f[7] * 1e6 / TICK  # busy, stolen


def cpu_busy_us(cpu):
    for line in _read("/proc/stat").splitlines():
        if line.startswith("cpu%d " % cpu):
            f = [int(x) for x in line.split()[1:]]
            return (f[0] + f[1] + f[2] + f[5] + f[6]) * 1e6 / TICK
    return 0


class Window:
    """CPU used by named processes, and by everyone else, over a stretch of time."""

    def __init__(self, procs, load=()):
        self.procs, self.load = procs, load
        self.t0, self.busy0 = time.time(), machine_busy_us()
        self.c0 = {k: [p.cpu_us() for p in v] for k, v in procs.items()}
        self.l0 = [p.cpu_us()[0] for p in load]
        self.core0 = cpu_busy_us(PROXY_CPU)

    def close(self, client_us=0):
        wall = (time.time() - self.t0) * 1e6
        busy, steal = (b - a for a, b in zip(self.busy0, machine_busy_us()))
        cpu = {}
        for k, v in self.procs.items():
            d = [[b - a for a, b in zip(c0, p.cpu_us())] for c0, p in zip(self.c0[k], v)]
            cpu[k] = [sum(x[i] for x in d) for i in range(3)]
        own = sum(c[0] for c in cpu.values()) + sum(p.cpu_us()[0] - a for p, a in zip(self.load, self.l0)) + client_us
        return {"wall_us": wall, "cpu": cpu, "proxy_core": (cpu_busy_us(PROXY_CPU) - self.core0) / wall,
                "foreign": max(0.0, busy - own) / wall, "steal": steal / wall}


def med(xs):
    xs = [x for x in xs if x is not None]
    return {"median": statistics.median(xs), "min": min(xs), "max": max(xs), "n": len(xs)} if xs else None


def loadgen(port, cpu=None, **o):
    """Runs build/loadgen; options by letter, e.g. c=64, d=3, r=10000, flags=['-n']."""
    argv = ["taskset", "-c", str(LOAD_CPU if cpu is None else cpu), tool("loadgen"), "-J"]
    argv += [x for x in o.pop("flags", [])]
    for k, v in o.items():
        argv += ["-" + k, str(v)]
    p = subprocess.run(argv + ["127.0.0.1:%d" % port], capture_output=True, text=True, timeout=120, preexec_fn=lambda: NICE and os.nice(NICE))
    if not p.stdout.strip():
        raise RuntimeError("loadgen: " + p.stderr[-500:])
    return json.loads(p.stdout)


def wait_quiet(limit=0.15, secs=float(os.environ.get("BENCH_WAIT", "20"))):
    """Waits until the machine is nearly idle (nothing of ours runs between two runs), at most `secs`."""
    end = time.time() + secs
    while True:
        a, t = machine_busy_us()[0], time.time()
        time.sleep(0.2)
        if (machine_busy_us()[0] - a) / ((time.time() - t) * 1e6) < limit or time.time() > end:
            return


def quiet_enough(w, limit=0.10):
    return w["foreign"] < limit and w["steal"] < 0.03


def best_try(fn, tries=int(os.environ.get("BENCH_TRIES", "4")), limit=0.10):
    """Repeats fn() -> (result, window) until the machine was quiet; else the quietest try, marked noisy."""
    seen = []
    for i in range(tries):
        wait_quiet()
        r, w = fn()
        r["foreign"], r["steal"] = round(w["foreign"], 3), round(w["steal"], 3)
        if quiet_enough(w, limit):
            return r
        seen.append(r)
    r = min(seen, key=lambda x: x["foreign"] + x["steal"])
    r["noisy"] = True
    return r


_ports = iter(range(20001, 29000))


def port():
    return next(_ports)


# ---------------------------------------------------------------- certificates
def pki():
    """A CA and one leaf (ECDSA P-256, SPIFFE URI + DNS mesh.test) that serves as server and client."""
    d = os.path.join(BUILD, "pki")
    names = {k: os.path.join(d, k) for k in ("ca.crt", "ca.key", "leaf.crt", "leaf.key", "leaf.pem")}
    if not os.path.exists(names["leaf.pem"]) or time.time() - os.path.getmtime(names["leaf.pem"]) > 20 * 86400:
        shutil.rmtree(d, ignore_errors=True)
        os.makedirs(d)
        run = lambda *a: subprocess.run(["openssl", *a], cwd=d, check=True, capture_output=True)
        run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key")
        run("req", "-x509", "-new", "-key", "ca.key", "-sha256", "-days", "30", "-subj", "/CN=bench-ca", "-out", "ca.crt", "-addext", "basicConstraints=critical,CA:TRUE")
        run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "leaf.key")
        run("req", "-new", "-key", "leaf.key", "-subj", "/CN=mesh.test", "-out", "leaf.csr")
        with open(os.path.join(d, "ext"), "w") as f:
            f.write("subjectAltName=DNS:mesh.test,URI:spiffe://mesh.test/ns/default/sa/bench\nextendedKeyUsage=serverAuth,clientAuth\n")
        run("x509", "-req", "-in", "leaf.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-sha256", "-extfile", "ext", "-out", "leaf.crt")
        with open(names["leaf.pem"], "w") as f:
            f.write(_read(names["leaf.crt"]) + _read(names["leaf.key"]))
        for n in ("ca.key", "leaf.key", "leaf.pem"):
            os.chmod(names[n], 0o644)  # nginx and haproxy may drop root before they read them
    return names
