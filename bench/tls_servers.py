"""The servers of tls.py: maritcp without and with TLS, the least server that there can be (tls_bare), nginx and haproxy as
web servers of their own, and these two in front of maritcp, as those do who have no TLS in their server."""
import dataclasses
import os
import shutil
import signal
import subprocess

from bench import BENCH, ROOT, ServerKind, maritcp_args
from procs import BenchError, Server, end_process

PLACES_MORE = 500  # of haproxy, beside the connections that are held
DESCRIPTORS_MORE = 2 * PLACES_MORE + 200  # that it needs besides two for each of these
ANSWER = "x" * 56  # of the web servers; MarioTCP's echo carries as much


@dataclasses.dataclass(frozen=True)
class Kind:
    """One way to have TLS."""

    title: str
    peer: str = ""  # the program that terminates; "": maritcp itself
    bare: bool = False  # tls_bare, which only knows handshakes
    records: str = ""  # maritcp's tls.records; "": without TLS
    web: bool = False  # the peer answers by itself, over HTTP
    secure: bool = True

    def find(self):
        """The program, or None where it is not installed."""
        if self.bare:
            return os.path.join(BENCH, "tls_bare")
        if not self.peer:
            return os.path.join(ROOT, "maritcp")
        return shutil.which(self.peer) or shutil.which(self.peer, path="/usr/sbin")

    def is_measured(self, part):
        return part == "handshake" or not self.bare


KINDS = {
    "plain": Kind("maritcp, no TLS: what the others are compared with", secure=False),
    "openssl": Kind("maritcp, `tls.records = openssl`", records="openssl"),
    "slim": Kind("maritcp, `tls.records = slim`", records="slim"),
    "bare-plain": Kind("`bench/tls_bare`, an epoll loop and nothing else, without TLS", bare=True, secure=False),
    "bare": Kind("the same with OpenSSL: what sockets and OpenSSL cost any server", bare=True),
    "nginx": Kind("nginx, as the web server it is: a GET with a fixed answer", "nginx", web=True),
    "nginx-plain": Kind("the same without TLS", "nginx", web=True, secure=False),
    "haproxy": Kind("haproxy, with a fixed answer of its own to a GET", "haproxy", web=True),
    "haproxy-plain": Kind("the same without TLS", "haproxy", web=True, secure=False),
    "nginx+maritcp": Kind("nginx (stream) terminates TLS in front of maritcp; both count", "nginx"),
    "haproxy+maritcp": Kind("haproxy (mode tcp) terminates TLS in front of maritcp; both count", "haproxy"),
}


def make_certificate(directory):
    """A P-256 certificate for localhost. Returns (authority, certificate, key)."""
    try:
        subprocess.run([os.path.join(ROOT, "scripts", "make-cert"), directory], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError(f"scripts/make-cert: {getattr(error, 'stderr', b'') or error}") from error
    return tuple(os.path.join(directory, name) for name in ("ca.pem", "localhost.pem", "localhost.key"))


NGINX_HEAD = """
daemon off;
master_process off;
worker_processes 1;
pid {pid};
error_log {log} warn;
events {{ worker_connections {places}; }}
"""
NGINX_SECURE = """
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache none;
    ssl_session_tickets on;
"""
NGINX_WEB = """
http {{
  access_log off;
  ssl_buffer_size 4k;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path {tmp}/nginx-body; proxy_temp_path {tmp}/nginx-proxy; fastcgi_temp_path {tmp}/nginx-fastcgi;
  uwsgi_temp_path {tmp}/nginx-uwsgi; scgi_temp_path {tmp}/nginx-scgi;
  server {{
    listen 127.0.0.1:{port}{word} backlog=4096;
    {tls}
    location / {{ return 200 "{answer}"; }}
  }}
}}
"""
NGINX_STREAM = """
stream {{
  server {{
    listen 127.0.0.1:{port}{word} backlog=4096;
    {tls}
    proxy_pass 127.0.0.1:{behind};
    proxy_timeout 1h;
    tcp_nodelay on;
  }}
}}
"""
HAPROXY = """
global
  maxconn {places}
  nbthread 1
  tune.ssl.cachesize 0
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  timeout client 1h
  timeout server 1h
  timeout connect 5s
  timeout http-keep-alive 1h
  mode {mode}
frontend front
  bind 127.0.0.1:{port} {word} backlog 4096
  {rest}
"""


def nginx_module():
    """The line that loads the stream module, where Debian has it apart."""
    path = "/usr/lib/nginx/modules/ngx_stream_module.so"
    return f"load_module {path};\n" if os.path.exists(path) else ""


def config_of(kind, port, behind, conns, certificate, key, tmp, log):
    # haproxy does not start unless it may have the descriptors of all its places, two for each
    places = conns + PLACES_MORE if kind.peer == "haproxy" else 4 * conns + 1000
    values = {"port": port, "behind": behind, "places": places, "certificate": certificate, "key": key, "tmp": tmp,
              "log": log, "pid": os.path.join(tmp, f"{port}.pid"), "answer": ANSWER}
    if kind.peer == "nginx":
        values["tls"] = NGINX_SECURE.format(**values) if kind.secure else ""
        values["word"] = " ssl" if kind.secure else ""
        body = NGINX_WEB if kind.web else NGINX_STREAM
        return ("" if kind.web else nginx_module()) + (NGINX_HEAD + body).format(**values)
    both = os.path.join(tmp, "both.pem")
    with open(both, "w", encoding="ascii") as out:
        for path in (certificate, key):
            with open(path, encoding="ascii") as stream:
                out.write(stream.read())
    values["word"] = f"ssl crt {both}" if kind.secure else ""
    values["mode"] = "http" if kind.web else "tcp"
    values["rest"] = (f"http-request return status 200 content-type text/plain string {ANSWER}" if kind.web else
                      f"default_backend behind\nbackend behind\n  server one 127.0.0.1:{behind}")
    return HAPROXY.format(**values)


class Stand:
    """A server of one kind, with what stands behind it, ready for so many connections. Use it with `with`."""

    def __init__(self, name, conns, setup):
        self.name, self.kind, self.parts = name, KINDS[name], []
        try:
            if self.kind.bare:
                self.parts.append(self.yardstick(setup))
            elif not self.kind.peer or not self.kind.web:
                self.parts.append(self.maritcp(conns, setup))
            if self.kind.peer:
                self.parts.append(self.peer(conns, setup))
        except BaseException:
            self.end()
            raise

    def maritcp(self, conns, setup):
        own = not self.kind.peer and self.kind.secure

        def args(path, port, places, log):
            argv = maritcp_args(path, port, places, log, " tls=default" if own else "")
            if own:
                argv += ["-o", f"tls default.certificate={setup.certificate}", "-o", f"tls default.key={setup.key}",
                         "-o", f"tls.records={self.kind.records}"]
            return argv

        return Server(self.name, ServerKind("maritcp", args, (0,)), os.path.join(ROOT, "maritcp"), conns, setup)

    def yardstick(self, setup):
        def args(path, port, places, log):
            return [path, str(port), *([setup.certificate, setup.key] if self.kind.secure else [])]

        return Server(self.name, ServerKind("tls_bare", args, (-signal.SIGTERM,)), self.kind.find(), 0, setup)

    def peer(self, conns, setup):
        behind = self.parts[0].port if self.parts else 0

        def args(path, port, places, log):
            config = os.path.join(setup.tmp, f"{port}.conf")
            with open(config, "w", encoding="ascii") as out:
                out.write(config_of(self.kind, port, behind, places, setup.certificate, setup.key, setup.tmp, log))
            if self.kind.peer == "nginx":
                return [path, "-p", setup.tmp, "-c", config, "-e", log]
            return [path, "-f", config, "-db"]  # not -q: then it would not say why it does not start

        exits = (0, -signal.SIGTERM, 143, 130)
        return Server(self.name, ServerKind(self.kind.peer, args, exits), self.kind.find(), conns, setup)

    # What procs.run_load() and its like want of a server: the door in front, the sums of all.

    @property
    def port(self):
        return self.parts[-1].port

    @property
    def pid(self):
        return self.parts[-1].pid

    @property
    def log(self):
        return self.parts[-1].log

    def cpu_seconds(self):
        return sum(part.cpu_seconds() for part in self.parts)

    def rss(self):
        return sum(part.rss() for part in self.parts)

    def held(self):
        """Connections that are open at the door, about."""
        return len(os.listdir(f"/proc/{self.pid}/fd")) - self.parts[-1].own_fds

    def check_alive(self):
        for part in self.parts:
            part.check_alive()

    def wait_until_quiet(self):
        for part in self.parts:
            part.wait_until_quiet()

    def end(self):
        for part in reversed(self.parts):
            end_process(part.process, 1)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.end()
            return
        for part in reversed(self.parts):
            part.__exit__(None, None, None)
