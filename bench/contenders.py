"""One class per proxy under test. Each method writes what configuration it needs into directory `d` and
returns the argv of ONE single-threaded proxy process, or None when it cannot play that part.

To add a proxy: copy a class, fill in the methods it can play, add it to ALL. Nothing else changes.

  http(d, listen, up)          HTTP/1.1 in and out, keep-alive on both sides, connections pooled
  http_full(d, listen, up)     the same with what a mesh needs: metrics, an access log, timeouts
  http_clusters(d, listen, up, n)  the same with n clusters known, of which one serves
  tls_front(d, listen, pki, resume, h2)  TLS 1.3 in, client certificate required, answers 200 by itself; resume: with tickets; h2: HTTP/2
  mesh_out(d, listen, up, pki, v)  plain in, mTLS out   v: "h1" HTTP/1.1, "h2" HTTP/2 between the two, "l4" bytes only
  mesh_in(d, listen, up, pki, v)   mTLS in (client certificate verified), plain out
  tcp(d, listen, up, splice)   bytes only; splice: True/False/None (None: the proxy's default)
  udp(d, listen, up)           datagrams, in sessions
  h2(d, listen, up, grpc)      HTTP/2 without TLS in and out (prior knowledge)
  scale(d, listen, up, n)      http with n services of five routes and ten endpoints each
  answer(d, listen)            plain HTTP/1.1 in, answers 200 by itself (to subtract from tls_front)
"""
import glob
import json
import os
from harness import TOP, tool


def write(d, name, text):
    os.makedirs(d, exist_ok=True)
    p = os.path.join(d, name)
    with open(p, "w") as f:
        f.write(text)
    return p


class Contender:
    name = None
    workers = 1
    def http(self, d, listen, up): return None
    def http_full(self, d, listen, up): return None
    def http_clusters(self, d, listen, up, n): return None
    def scale(self, d, listen, up, n): return None
    def tls_front(self, d, listen, pki, resume=False, h2=False): return None
    def mesh_out(self, d, listen, up, pki, v): return None
    def mesh_in(self, d, listen, up, pki, v): return None
    def tcp(self, d, listen, up, splice=None): return None
    def udp(self, d, listen, up): return None
    def h2(self, d, listen, up, grpc=False): return None
    def answer(self, d, listen): return None


class Null(Contender):
    """Our own relay that looks at no byte: the floor for one epoll (or io_uring) process."""
    def __init__(self, mode):
        self.mode, self.name = mode, "null-" + mode
    def http(self, d, listen, up): return [tool("nullproxy"), "-l", str(listen), "-u", str(up), "-m", self.mode]
    def mesh_out(self, d, listen, up, pki, v): return self.http(d, listen, up) if v == "plain" else None
    mesh_in = mesh_out
    def tcp(self, d, listen, up, splice=None): return self.http(d, listen, up) if splice is None and self.mode == "epoll" else None
    def h2(self, d, listen, up, grpc=False): return self.http(d, listen, up) if self.mode == "epoll" else None


class Relay(Contender):
    """The same over src/io's loop and conns: what they cost before any protocol."""
    def __init__(self, io):
        self.io, self.name = io, "tulle-relay" if io == "epoll" else "tulle-relay-uring"
    def http(self, d, listen, up): return [tool("relay"), "-l", str(listen), "-u", str(up), "-m", self.io]
    def mesh_out(self, d, listen, up, pki, v): return self.http(d, listen, up) if v == "plain" else None
    mesh_in = mesh_out
    def tcp(self, d, listen, up, splice=None): return self.http(d, listen, up) if splice is None else None
    def h2(self, d, listen, up, grpc=False): return self.http(d, listen, up)


class Haproxy(Contender):
    name = "haproxy"
    GLOBAL = """global
    nbthread %d
    maxconn %d
    tune.maxaccept 64
    ssl-default-bind-options ssl-min-ver TLSv1.3%s
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
    ssl-default-bind-curves X25519
    ssl-default-server-options ssl-min-ver TLSv1.3
    ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
%s
defaults
    timeout connect 5s
    timeout client 120s
    timeout server 120s
    timeout http-keep-alive 120s
    http-reuse always
"""
    def cfg(self, d, mode, bind, server, extra_global="", extra="", maxconn=9900, resume=False):
        t = self.GLOBAL % (self.workers, maxconn, "" if resume else " no-tls-tickets", extra_global) + "    mode %s\nlisten l\n%s    bind 127.0.0.1:%s backlog 4096\n" % (mode, extra, bind)
        if server:
            t += "    server s 127.0.0.1:%s\n" % server
        return ["haproxy", "-db", "-q", "-f", write(d, "haproxy.cfg", t)]
    def http(self, d, listen, up):
        return self.cfg(d, "http", listen, "%d pool-max-conn -1" % up)
    def http_full(self, d, listen, up):  # counters are always on; the log goes to a file through its own pipe
        return self.cfg(d, "http", listen, "%d pool-max-conn -1" % up, extra="    log stdout format raw local0\n    option httplog\n    timeout http-request 10s\n")
    def http_many(self, d, listen, up):  # room for 10k client connections inside 20k descriptors
        return self.cfg(d, "http", listen, "%d pool-max-conn 256" % up, extra_global="    no strict-limits\n    ulimit-n 19990\n", maxconn=10050)
    def answer(self, d, listen):
        return self.cfg(d, "http", listen, None, extra="    http-request return status 200 content-type text/plain string ok\n")
    def http_clusters(self, d, listen, up, n):
        argv = self.http(d, listen, up)
        with open(argv[-1], "a") as f:
            f.write("".join("backend b%d\n    server s 127.0.0.1:%d\n" % (i, up) for i in range(n)))
        return argv
    def tls_front(self, d, listen, pki, resume=False, h2=False):
        return self.cfg(d, "http", "%d ssl crt %s ca-file %s verify required%s" % (listen, pki["leaf.pem"], pki["ca.crt"], " alpn h2" if h2 else ""), None,
                        extra="    http-request return status 200 content-type text/plain string ok\n", resume=resume)
    def scale(self, d, listen, up, n):
        rules = "".join("    use_backend s%d if { hdr(host) s%d } { path_beg /%d }\n" % (i, i, k) for i in range(n) for k in range(5))
        backends = "".join("backend s%d\n" % i + "".join("    server e%d 127.0.0.%d:%d\n" % (k, k + 1, up) for k in range(10)) for i in range(n))
        argv = self.cfg(d, "http", listen, up, extra=rules)
        with open(argv[-1], "a") as f: f.write(backends)
        return argv
    def mesh_out(self, d, listen, up, pki, v):
        if v == "plain": return None
        alpn = {"h1": "alpn http/1.1", "h2": "alpn h2", "l4": ""}[v]
        return self.cfg(d, "tcp" if v == "l4" else "http", listen, "%d ssl crt %s ca-file %s verify required sni str(mesh.test) verifyhost mesh.test %s pool-max-conn -1" % (up, pki["leaf.pem"], pki["ca.crt"], alpn))
    def mesh_in(self, d, listen, up, pki, v):
        if v == "plain": return None
        alpn = {"h1": "alpn http/1.1", "h2": "alpn h2", "l4": ""}[v]
        return self.cfg(d, "tcp" if v == "l4" else "http", "%d ssl crt %s ca-file %s verify required %s" % (listen, pki["leaf.pem"], pki["ca.crt"], alpn), "%d pool-max-conn -1" % up)
    def tcp(self, d, listen, up, splice=None):
        return self.cfg(d, "tcp", listen, str(up), extra="    option splice-request\n    option splice-response\n" if splice else "",
                        extra_global="" if splice else "    nosplice\n", maxconn=2000)
    def h2(self, d, listen, up, grpc=False):
        return self.cfg(d, "http", "%d proto h2" % listen, "%d proto h2 pool-max-conn -1" % up)


class Nginx(Contender):
    name = "nginx"
    def conf(self, d, http=None, stream=None, resume=False):
        for s in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            os.makedirs(os.path.join(d, s), exist_ok=True)
        t = "load_module %s;\n" % os.environ.get("NGINX_STREAM_MODULE", "/usr/lib/nginx/modules/ngx_stream_module.so") if stream else ""
        t += "daemon off;\nmaster_process %s;\nuser root;\nworker_processes %d;\nworker_rlimit_nofile 20000;\npid %s/pid;\nerror_log %s/error.log crit;\nevents { worker_connections 20000; }\n" % ("on" if self.workers > 1 else "off", self.workers, d, d)
        tls = "ssl_protocols TLSv1.3; ssl_ecdh_curve X25519; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; ssl_session_tickets %s; ssl_session_cache off;\n" % ("on" if resume else "off")
        if http:
            t += "http {\naccess_log off;\nkeepalive_requests 1000000000;\nkeepalive_timeout 120s;\ntcp_nodelay on;\nclient_body_buffer_size 128k;\n%s%s%s\n}\n" % (
                tls, "".join("%s_temp_path %s/%s;\n" % (n, d, s) for n, s in (("client_body", "body"), ("proxy", "proxy"), ("fastcgi", "fastcgi"), ("uwsgi", "uwsgi"), ("scgi", "scgi"))), http)
        if stream:
            t += "stream {\n%s%s\n}\n" % (tls, stream)
        return ["nginx", "-e", d + "/error.log", "-p", d, "-c", write(d, "nginx.conf", t)]
    UP = "upstream u { server 127.0.0.1:%d; keepalive 256; keepalive_requests 1000000000; }\n"
    LOC = "location / { proxy_pass %s://u; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $host; %s } }\n"
    def sslin(self, pki):
        return "ssl_certificate %s; ssl_certificate_key %s; ssl_client_certificate %s; ssl_verify_client on;\n" % (pki["leaf.crt"], pki["leaf.key"], pki["ca.crt"])
    def sslout(self, pki):
        return "proxy_ssl_certificate %s; proxy_ssl_certificate_key %s; proxy_ssl_trusted_certificate %s; proxy_ssl_verify on; proxy_ssl_name mesh.test; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3; proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;" % (pki["leaf.crt"], pki["leaf.key"], pki["ca.crt"])
    def http(self, d, listen, up):
        return self.conf(d, self.UP % up + "server { listen 127.0.0.1:%d backlog=4096;\n" % listen + self.LOC % ("http", ""))
    http_many = http
    def http_full(self, d, listen, up):
        return self.conf(d, self.UP % up + "server { listen 127.0.0.1:%d backlog=4096 reuseport; access_log %s/access.log combined buffer=64k flush=1s; client_header_timeout 10s; proxy_read_timeout 15s;\n" % (listen, d) + self.LOC % ("http", ""))
    def answer(self, d, listen):
        return self.conf(d, "server { listen 127.0.0.1:%d backlog=4096; location / { return 200 ok; } }" % listen)
    def http_clusters(self, d, listen, up, n):
        more = "".join("upstream u%d { server 127.0.0.1:%d; keepalive 256; }\n" % (i, up) for i in range(n))
        return self.conf(d, more + self.UP % up + "server { listen 127.0.0.1:%d backlog=4096;\n" % listen + self.LOC % ("http", ""))
    def tls_front(self, d, listen, pki, resume=False, h2=False):
        return self.conf(d, "server { listen 127.0.0.1:%d ssl%s backlog=4096; %s location / { return 200 ok; } }" % (listen, " http2" if h2 else "", self.sslin(pki)), resume=resume)
    def scale(self, d, listen, up, n):
        one = lambda i: "upstream s%d { %s keepalive 16; }\nserver { listen 127.0.0.1:%d; server_name s%d; %s }\n" % (
            i, "".join("server 127.0.0.%d:%d; " % (k + 1, up) for k in range(10)), listen, i,
            " ".join("location /%d { proxy_pass http://s%d; proxy_http_version 1.1; }" % (k, i) for k in range(5)))
        return self.conf(d, "server_names_hash_max_size 4096;\n" + "".join(one(i) for i in range(n)))
    def mesh_out(self, d, listen, up, pki, v):
        if v == "h1":
            return self.conf(d, self.UP % up + "server { listen 127.0.0.1:%d backlog=4096;\n" % listen + self.LOC % ("https", self.sslout(pki)))
        if v == "l4":
            return self.conf(d, stream="server { listen 127.0.0.1:%d backlog=4096; proxy_pass 127.0.0.1:%d; proxy_ssl on; %s }" % (listen, up, self.sslout(pki)))
    def mesh_in(self, d, listen, up, pki, v):
        if v == "h1":
            return self.conf(d, self.UP % up + "server { listen 127.0.0.1:%d ssl backlog=4096; %s\n" % (listen, self.sslin(pki)) + self.LOC % ("http", ""))
        if v == "l4":
            return self.conf(d, stream="server { listen 127.0.0.1:%d ssl backlog=4096; %s proxy_pass 127.0.0.1:%d; }" % (listen, self.sslin(pki), up))
    def tcp(self, d, listen, up, splice=None):
        return None if splice else self.conf(d, stream="server { listen 127.0.0.1:%d backlog=4096; proxy_pass 127.0.0.1:%d; proxy_buffer_size 16k; }" % (listen, up))
    def udp(self, d, listen, up):
        return self.conf(d, stream="server { listen 127.0.0.1:%d udp; proxy_pass 127.0.0.1:%d; proxy_timeout 60s; }" % (listen, up))
    def h2(self, d, listen, up, grpc=False):
        return self.conf(d, self.UP % up + "server { listen 127.0.0.1:%d http2 backlog=4096; http2_max_concurrent_streams 1000; location / { grpc_pass grpc://u; } }" % listen)


class Nghttpx(Contender):
    name = "nghttpx"
    BASE = ["nghttpx", "--workers=1", "--no-ocsp", "--conf=/dev/null", "--accesslog-file=/dev/null", "--errorlog-file=/dev/null", "--log-level=ERROR",
            "--no-via", "--no-add-x-forwarded-proto"]
    def http(self, d, listen, up):
        return self.BASE + ["-f127.0.0.1,%d;no-tls" % listen, "-b127.0.0.1,%d" % up]
    def h2(self, d, listen, up, grpc=False):
        return self.BASE + ["-f127.0.0.1,%d;no-tls" % listen, "-b127.0.0.1,%d;;proto=h2" % up]


TYPE = "type.googleapis.com/envoy.extensions."


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def typed(name, kind, **fields):
    return {"name": name, "typed_config": {"@type": TYPE + kind, **fields}}


class Envoy(Contender):
    """Envoy, and in its own words Tulle too: both read the same bootstrap."""
    name = "envoy"

    def argv(self, path):
        found = glob.glob(os.path.join(TOP, ".venv", "lib", "python3*", "site-packages", "envoy", "_bin", "envoy"))
        return [found[0], "-c", path, "--concurrency", str(self.workers), "--disable-hot-restart", "--log-level", "off"] if found else None

    def config(self, d, listener, *clusters):
        document = {"node": {"id": "bench", "cluster": "bench"}, "static_resources": {"listeners": [listener], "clusters": list(clusters)}}
        return self.argv(write(d, self.name + ".json", json.dumps(document, indent=1)))

    def listener(self, port, filters, tls=None):
        chain = {"filters": filters}
        if tls:
            chain["transport_socket"] = tls
        return {"name": "l", "address": address(port), "filter_chains": [chain]}

    def http_filters(self, route, full=None):
        more = {"generate_request_id": False}  # bare: as the others, which make none
        if full:
            more = {"access_log": [typed("envoy.access_loggers.file", "access_loggers.file.v3.FileAccessLog", path=full)],
                    "request_headers_timeout": "10s", "stream_idle_timeout": "300s"}
        return [typed("envoy.filters.network.http_connection_manager", "filters.network.http_connection_manager.v3.HttpConnectionManager",
                      stat_prefix="h", codec_type="AUTO",
                      route_config={"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **route}]}]},
                      http_filters=[typed("envoy.filters.http.router", "filters.http.router.v3.Router")], **more)]

    def tcp_filters(self):
        return [typed("envoy.filters.network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="t", cluster="u")]

    def cluster(self, port, h2=False, tls=None, most=100000, name="u"):
        made = {"name": name, "type": "STATIC", "connect_timeout": "5s",
                "circuit_breakers": {"thresholds": [{"max_connections": most, "max_pending_requests": 100000, "max_requests": 100000}]},
                "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]}}
        if h2:
            made["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": TYPE + "upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}
        if tls:
            made["transport_socket"] = tls
        return made

    def common_tls(self, pki, alpn):
        made = {"tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3", "ecdh_curves": ["X25519"]},
                "tls_certificates": [{"certificate_chain": {"filename": pki["leaf.crt"]}, "private_key": {"filename": pki["leaf.key"]}}],
                "validation_context": {"trusted_ca": {"filename": pki["ca.crt"]}}}
        if alpn:
            made["alpn_protocols"] = [alpn]
        return made

    def tls_in(self, pki, alpn=None, resume=False):
        refuse = {} if resume else {"disable_stateless_session_resumption": True, "disable_stateful_session_resumption": True}
        return typed("envoy.transport_sockets.tls", "transport_sockets.tls.v3.DownstreamTlsContext", require_client_certificate=True,
                     common_tls_context=self.common_tls(pki, alpn), **refuse)

    def tls_out(self, pki, alpn=None):
        return typed("envoy.transport_sockets.tls", "transport_sockets.tls.v3.UpstreamTlsContext", sni="mesh.test", max_session_keys=0,
                     common_tls_context=self.common_tls(pki, alpn))

    OK = {"direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    TO = {"route": {"cluster": "u", "timeout": "0s"}}
    ALPN = {"h1": "http/1.1", "h2": "h2", "l4": None}

    def http(self, d, listen, up):
        return self.config(d, self.listener(listen, self.http_filters(self.TO)), self.cluster(up))
    def http_many(self, d, listen, up):  # as HAProxy: 10,000 clients, and no descriptor for as many upstream
        return self.config(d, self.listener(listen, self.http_filters(self.TO)), self.cluster(up, most=256))
    def http_full(self, d, listen, up):
        full = {"route": {"cluster": "u", "timeout": "15s"}}
        return self.config(d, self.listener(listen, self.http_filters(full, os.path.join(d, "access.log"))), self.cluster(up))
    def answer(self, d, listen):
        return self.config(d, self.listener(listen, self.http_filters(self.OK)))
    def http_clusters(self, d, listen, up, n):
        return self.config(d, self.listener(listen, self.http_filters(self.TO)), self.cluster(up),
                           *[self.cluster(up, name="outbound|80||service-%d.default.svc.cluster.local" % i) for i in range(n)])
    def tls_front(self, d, listen, pki, resume=False, h2=False):
        return self.config(d, self.listener(listen, self.http_filters(self.OK), self.tls_in(pki, "h2" if h2 else "http/1.1", resume)))
    def scale(self, d, listen, up, n):
        host = lambda i: {"name": "s%d" % i, "domains": ["s%d" % i], "routes": [{"match": {"prefix": "/%d" % k}, "route": {"cluster": "s%d" % i}} for k in range(5)]}
        filters = self.http_filters(self.TO)
        filters[0]["typed_config"]["route_config"]["virtual_hosts"] = [host(i) for i in range(n)]
        clusters = [dict(self.cluster(up), name="s%d" % i, load_assignment={"cluster_name": "s%d" % i, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.%d" % (k + 1), "port_value": up}}}} for k in range(10)]}]}) for i in range(n)]
        return self.config(d, self.listener(listen, filters), *clusters)
    def mesh_out(self, d, listen, up, pki, v):
        if v == "plain": return None
        filters = self.tcp_filters() if v == "l4" else self.http_filters(self.TO)
        return self.config(d, self.listener(listen, filters), self.cluster(up, v == "h2", self.tls_out(pki, self.ALPN[v])))
    def mesh_in(self, d, listen, up, pki, v):
        if v == "plain": return None
        filters = self.tcp_filters() if v == "l4" else self.http_filters(self.TO)
        return self.config(d, self.listener(listen, filters, self.tls_in(pki, self.ALPN[v])), self.cluster(up))
    def tcp(self, d, listen, up, splice=None):  # Tulle on epoll splices by itself
        splices = getattr(self, "io", None) == "epoll"
        return self.config(d, self.listener(listen, self.tcp_filters()), self.cluster(up)) if splices == bool(splice) else None
    def udp(self, d, listen, up):
        listener = {"name": "l", "address": address(listen), "listener_filters": [typed(
            "envoy.filters.udp_listener.udp_proxy", "filters.udp.udp_proxy.v3.UdpProxyConfig", stat_prefix="u", cluster="u")]}
        listener["address"]["socket_address"]["protocol"] = "UDP"
        return self.config(d, listener, self.cluster(up))
    def h2(self, d, listen, up, grpc=False):
        return self.config(d, self.listener(listen, self.http_filters(self.TO)), self.cluster(up, True))


class Tulle(Envoy):
    def __init__(self, io):
        self.io, self.name = io, "tulle" if io == "epoll" else "tulle-uring"

    def common_tls(self, pki, alpn):
        made = super().common_tls(pki, alpn)
        del made["tls_params"]["ecdh_curves"]  # X25519 comes first by itself
        return made

    def argv(self, path):
        program = os.environ.get("TULLE_PROXY", os.path.join(TOP, "build", "release", "bin", "tulle-proxy"))
        return [program, "-c", path, "--concurrency", str(self.workers), "--io", self.io] if os.path.exists(program) else None


class ShortCut(Tulle):
    """The same with the sockmap short cut to the applications on this host: client and backend, here."""
    def __init__(self):
        super().__init__("epoll")
        self.name = "tulle-sockmap"
    def argv(self, path):
        argv = super().argv(path)
        return argv and argv + ["--sockmap"]


ALL = {c.name: c for c in (Null("epoll"), Null("uring"), Relay("epoll"), Relay("io_uring"), Tulle("epoll"), Tulle("io_uring"), ShortCut(), Haproxy(), Nginx(), Envoy(), Nghttpx())}
