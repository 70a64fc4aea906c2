"""The servers that bench/run compares: Larder, the floors, and peers from Debian, each as its manual says it is fast:
one worker, no access log, kept-alive connections to the backend, the cache in memory (nginx: files in the page cache).
"""

import os
import pathlib
import shutil
import subprocess

from support import LARDER, ROOT, accepts, free_port, wait_until

TOOLS = ROOT / "build/release/bench"


class Server:
    """One server, started. `port` takes requests; `cpu()` is what its processes have used so far, in seconds."""

    def __init__(self, bench, name):
        self.bench, self.name, self.port = bench, name, free_port()
        self.folder = os.path.join(bench.processes.folder, name)
        os.makedirs(self.folder, exist_ok=True)

    def run(self, *command, env=None):
        command = ["taskset", "-c", str(self.bench.server_core), *command]
        if env:
            command = ["env", *(f"{k}={v}" for k, v in env.items()), *command]
        self.process = self.bench.processes.start(*command)
        wait_until(self.name, lambda: accepts(self.port) or self.process.poll() is not None, 30)
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} has ended: {self.bench.processes.folder}")
        return self

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        pathlib.Path(path).write_text(text)
        return path

    def pids(self):
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    children = pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text()
                    todo += [int(child) for child in children.split()]
            except OSError:
                pass
        return found

    def cpu(self):
        nanoseconds = 0
        for pid in self.pids():
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                        nanoseconds += int(f.read().split()[0])
            except OSError:
                pass
        return nanoseconds / 1e9

    def ticks(self):
        """User and system time so far, in clock ticks: coarse, for their shares only."""
        user = system = 0
        for pid in self.pids():
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                user, system = user + int(fields[11]), system + int(fields[12])
            except OSError:
                pass
        return user, system

    def resident_bytes(self):
        pages = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/statm") as f:
                pages += int(f.read().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def floor_canned(bench, name, size):
    server = Server(bench, name)
    return server.run(TOOLS / "floor_canned", server.port, size)


def floor_redis(bench, name, to):
    server = Server(bench, name)
    return server.run(TOOLS / "floor_redis", server.port, to)


def floor_checked(bench, name, to, size):
    server = Server(bench, name)
    return server.run(TOOLS / "floor_checked", server.port, to, size)


def floor_miss(bench, name, to):
    server = Server(bench, name)
    return server.run(TOOLS / "floor_miss", server.port, bench.backend_port, to)


def floor_pass(bench, name):
    server = Server(bench, name)
    return server.run(TOOLS / "floor_pass", server.port, bench.backend_port)


def larder(bench, name, store=None, memory="512MiB", trust="0ms", cached=True, workers=1):
    name += bench.other_build
    server = Server(bench, name)
    text = f"""\
listen: 127.0.0.1:{server.port}
upstream: http://127.0.0.1:{bench.backend_port}
namespace: {name}
workers: {workers}
memory: {memory}
trust: {trust}
max_object: 4MiB
"""
    if store:
        text += f"store: {store}\n"
    if cached:
        text += """\
rules:
  - {name: item, match: "GET /{size}/item/{id}", key: "item:{size}:{id}", ttl: 1h}
  - {name: item-write, match: "POST|PUT /{size}/item/{id}", purge: "item:{size}:{id}"}
"""
    return server.run(bench.larder, "--config", server.write("larder.yaml", text))


def nginx_head(bench, server):
    """What every nginx here has, up to the inside of its `http`."""
    os.makedirs(os.path.join(server.folder, "temp"), exist_ok=True)
    temp = "".join(f"{what}_temp_path {server.folder}/temp; " for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""\
worker_processes 1; daemon off; pid {server.folder}/pid; error_log {server.folder}/error.log; user root;
events {{ worker_connections 9900; multi_accept on; }}
http {{
  access_log off; keepalive_requests 1000000000; tcp_nodelay on;
  {temp}
  upstream app {{ server 127.0.0.1:{bench.backend_port}; keepalive 256; keepalive_requests 1000000000; }}
"""


def nginx(bench, name, sendfile=False, cached=True, size="4g"):
    server = Server(bench, name)
    os.makedirs(os.path.join(server.folder, "cache"), exist_ok=True)
    cache = """
      proxy_cache bench; proxy_cache_key $request_uri; proxy_cache_valid 200 1h; proxy_cache_lock on;
      add_header X-Cache $upstream_cache_status;""" if cached else ""
    path = server.write("nginx.conf", f"""\
{nginx_head(bench, server)}  sendfile {"on" if sendfile else "off"}; output_buffers 2 256k; open_file_cache max=20000 inactive=1h;
  proxy_cache_path {server.folder}/cache levels=1:2 keys_zone=bench:64m inactive=1h max_size={size} use_temp_path=off;
  server {{
    listen 127.0.0.1:{server.port} backlog=4096;
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";{cache}
    }}
  }}
}}
""")
    return server.run("nginx", "-c", path)


def nginx_lua(bench, name, redis_socket):
    """Cached in Redis by a dozen lines of Lua, as one finds them."""
    server = Server(bench, name)
    path = server.write("nginx.conf", f"""\
load_module modules/ndk_http_module.so;
load_module modules/ngx_http_lua_module.so;
{nginx_head(bench, server)}  lua_package_path "/usr/share/lua/5.1/?.lua;;";
  server {{
    listen 127.0.0.1:{server.port} backlog=4096;
    location / {{
      default_type application/json;
      content_by_lua_block {{
        local redis = require("nginx.redis"):new()
        redis:set_timeout(1000)
        local ok, err = redis:connect("unix:{redis_socket}")
        if not ok then return ngx.exit(502) end
        local key = "lua:" .. ngx.var.request_uri
        local body = redis:get(key)
        if body == ngx.null then
          local answer = ngx.location.capture("/app" .. ngx.var.request_uri)
          body = answer.body
          if answer.status == 200 then redis:set(key, body, "EX", 3600) end
        end
        redis:set_keepalive(60000, 256)
        ngx.header.content_length = #body
        ngx.print(body)
      }}
    }}
    location /app/ {{ internal; proxy_pass http://app/; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
""")
    return server.run("nginx", "-c", path)


def nginx_srcache(bench, name, redis_socket):
    """Cached in Redis by srcache, which asks two locations of Lua: Debian has no nginx module that speaks to Redis."""
    server = Server(bench, name)
    connect = f"""local redis = require("nginx.redis"):new()
        redis:set_timeout(1000)
        if not redis:connect("unix:{redis_socket}") then return ngx.exit(502) end"""
    path = server.write("nginx.conf", f"""\
load_module modules/ndk_http_module.so;
load_module modules/ngx_http_lua_module.so;
load_module modules/ngx_http_srcache_filter_module.so;
{nginx_head(bench, server)}  lua_package_path "/usr/share/lua/5.1/?.lua;;"; client_body_buffer_size 4m; client_max_body_size 4m;
  server {{
    listen 127.0.0.1:{server.port} backlog=4096;
    location / {{
      srcache_fetch GET /cache $request_uri; srcache_store PUT /cache $request_uri; srcache_store_statuses 200;
      srcache_store_max_size 4m; srcache_ignore_content_encoding on;
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
    location = /cache {{
      internal;
      content_by_lua_block {{
        {connect}
        local key = "srcache:" .. ngx.var.args
        if ngx.req.get_method() == "PUT" then
          ngx.req.read_body()
          redis:set(key, ngx.req.get_body_data(), "EX", 3600)
          redis:set_keepalive(60000, 256)
          return
        end
        local body = redis:get(key)
        redis:set_keepalive(60000, 256)
        if body == ngx.null then return ngx.exit(404) end
        ngx.header.content_length = #body
        ngx.print(body)
      }}
    }}
  }}
}}
""")
    return server.run("nginx", "-c", path)


def haproxy(bench, name, cached=True, megabytes=1000):
    server = Server(bench, name)
    cache = """
  filter cache bench
  http-request cache-use bench
  http-response cache-store bench""" if cached else ""
    path = server.write("haproxy.cfg", f"""\
global
  nbthread 1
  maxconn 9800
  tune.maxrewrite 1024
cache bench
  total-max-size {megabytes}
  max-object-size 500000
  max-age 3600
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend front
  bind 127.0.0.1:{server.port}{cache}
  default_backend app
backend app
  server app 127.0.0.1:{bench.backend_port}
""")
    return server.run("haproxy", "-db", "-f", path)


def varnish(bench, name, cached=True):
    server = Server(bench, name)
    path = server.write("default.vcl", f"""\
vcl 4.1;
backend app {{ .host = "127.0.0.1"; .port = "{bench.backend_port}"; }}
sub vcl_recv {{ {"" if cached else "return (pass);"} }}
""")
    return server.run("varnishd", "-F", "-a", f"127.0.0.1:{server.port}", "-f", path, "-s", "malloc,1g", "-n",
                      os.path.join(server.folder, "work"), "-p", "thread_pools=1", "-T", "none")


def ats(bench, name, cached=True):
    server = Server(bench, name)
    root = pathlib.Path(server.folder)
    folder = root / "etc"
    shutil.copytree("/etc/trafficserver", folder)
    for sub in ("cache", "run", "log"):
        (root / sub).mkdir()
    (root / "runroot.yaml").write_text(f"""\
prefix: {root}
bindir: /usr/bin
sbindir: /usr/bin
sysconfdir: {root}/etc
datadir: {root}/cache
libexecdir: /usr/lib/trafficserver/modules
localstatedir: {root}/run
runtimedir: {root}/run
logdir: {root}/log
cachedir: {root}/cache
""")
    (folder / "records.config").write_text(f"""\
CONFIG proxy.config.http.server_ports STRING {server.port}:ip-in=127.0.0.1
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.cache.ram_cache.size INT 1G
CONFIG proxy.config.http.cache.http INT {1 if cached else 0}
CONFIG proxy.config.http.cache.required_headers INT 0
CONFIG proxy.config.http.insert_request_via_str INT 0
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 60
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.net.connections_throttle INT 9000
""")
    (folder / "remap.config").write_text(f"map / http://127.0.0.1:{bench.backend_port}/\n")
    (folder / "storage.config").write_text(f"{root}/cache 512M\n")
    subprocess.run(["chmod", "-R", "a+rwX", bench.processes.folder], check=True)
    return server.run("traffic_server", env={"TS_RUNROOT": root / "runroot.yaml"})
