// nginx and Varnish from Debian, each as a careful team would set it up in front of its application, with the purges
// that the application sends to every instance after each write. An instance that starts has an empty cache.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sstream>
#include <stdexcept>

#include "tests/coherence/proxies.hpp"
#include "tests/support/eventually.hpp"

namespace larder::tests {

namespace {

constexpr int pages_count = 4;  // of the list

/// A port that is free now: neither of the two can be told to take any.
std::uint16_t find_free_port()
{
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
    socklen_t size = sizeof address;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    ::close(fd);
    return ntohs(address.sin_port);
}

bool answers(std::uint16_t port)
{
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const bool connected = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return connected;
}

class Peer : public Proxies {
  public:
    explicit Peer(std::uint16_t backend_port) : backend_port_(backend_port) {}

    void start(int replica) override
    {
        const auto index = static_cast<std::size_t>(replica);
        const std::uint16_t port = find_free_port();
        directories_[index] = std::make_unique<TemporaryDirectory>();
        processes_[index] = std::make_unique<ChildProcess>(command(*directories_[index], port));
        ChildProcess& one = process(replica);
        await_condition(name() + " answers", [&] { return one.exit_code() || answers(port); });
        if (one.exit_code()) throw std::runtime_error(name() + " does not start:\n" + one.standard_error());
        ports_[index] = port;
    }
    void kill(int replica) override
    {
        ports_[static_cast<std::size_t>(replica)] = 0;
        signal(replica, SIGKILL);
        process(replica).wait_for_exit();
    }

  protected:
    virtual std::vector<std::string> command(const TemporaryDirectory& directory, std::uint16_t port) const = 0;
    std::string backend_port() const { return std::to_string(backend_port_); }
    void start_all()
    {
        for (int replica = 0; replica < replicas_count; ++replica) start(replica);
    }

  private:
    std::uint16_t backend_port_;
    std::array<std::unique_ptr<TemporaryDirectory>, replicas_count> directories_;
};

class Nginxes final : public Peer {
  public:
    explicit Nginxes(std::uint16_t backend_port) : Peer(backend_port) { start_all(); }
    std::string name() const override { return "nginx"; }

    /// The module of Debian purges exact keys only, so that every address that shows the item is named.
    std::vector<PurgeRequest> purges_after_write(std::uint32_t item) const override
    {
        const std::string number = std::to_string(item);
        std::vector<std::string> targets{"/items/" + number, "/details/" + number + "?lang=en",
                                         "/details/" + number + "?lang=fr"};
        for (int page = 0; page < pages_count; ++page) targets.push_back("/items?page=" + std::to_string(page));
        std::vector<PurgeRequest> requests;
        for (int replica = 0; replica < replicas_count; ++replica)
            for (const std::string& target : targets)
                requests.push_back({replica, "GET /purge" + target + " HTTP/1.1\r\nHost: checker\r\n\r\n"});
        return requests;
    }

  private:
    std::vector<std::string> command(const TemporaryDirectory& directory, std::uint16_t port) const override
    {
        // one process, so that a signal to it reaches all of it; $uri is the normalised path
        const std::string& path = directory.path();
        std::string text =
            "load_module /usr/lib/nginx/modules/ngx_http_cache_purge_module.so;\n"
            "daemon off; master_process off; error_log stderr warn;\npid " +
            path +
            "/pid;\n"
            "events { worker_connections 1024; }\nhttp {\n  access_log off;\n";
        for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
            text += std::string("  ") + kind + "_temp_path " + path + "/" + kind + ";\n";
        text += "  proxy_cache_path " + path +
                "/cache keys_zone=items:10m inactive=1h use_temp_path=off;\n"
                "  keepalive_requests 1000000;\n"
                "  upstream app { server 127.0.0.1:" +
                backend_port() +
                "; keepalive 64; }\n"
                "  server {\n    listen 127.0.0.1:" +
                std::to_string(port) +
                ";\n    location ~ ^/purge(/.*)$ { proxy_cache_purge items $1$is_args$args; }\n"
                // the module's other form, "proxy_cache_purge PURGE" in the location itself, crashes this nginx
                "    location / {\n"
                "      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\";\n"
                "      proxy_cache items; proxy_cache_key $uri$is_args$args; proxy_cache_lock on;\n"
                "      add_header Cache-Status $upstream_cache_status;\n    }\n  }\n}\n";
        return {"/usr/sbin/nginx", "-p", path, "-c", directory.write("nginx.conf", text)};
    }
};

class Varnishes final : public Peer {
  public:
    explicit Varnishes(std::uint16_t backend_port) : Peer(backend_port) { start_all(); }
    ~Varnishes() override
    {
        for (int replica = 0; replica < replicas_count; ++replica) signal(replica, SIGKILL);
    }
    std::string name() const override { return "varnish"; }

    std::vector<PurgeRequest> purges_after_write(std::uint32_t item) const override
    {
        const std::string number = std::to_string(item);
        const std::string pattern = "^/(items/" + number + "|details/" + number + "[?].*|items[?].*)$";
        std::vector<PurgeRequest> requests;
        for (int replica = 0; replica < replicas_count; ++replica)
            requests.push_back({replica, "BAN / HTTP/1.1\r\nHost: checker\r\nX-Ban: " + pattern + "\r\n\r\n"});
        return requests;
    }

    /// The process that serves is a child of the one that was started.
    void signal(int replica, int number) override
    {
        if (!processes_[static_cast<std::size_t>(replica)]) return;
        const std::string pid = std::to_string(process(replica).pid());
        std::istringstream children(read_whole_file("/proc/" + pid + "/task/" + pid + "/children"));
        for (pid_t child = 0; children >> child;) ::kill(child, number);
        Peer::signal(replica, number);
    }

  private:
    std::vector<std::string> command(const TemporaryDirectory& directory, std::uint16_t port) const override
    {
        const std::string text =
            "vcl 4.1;\nbackend app { .host = \"127.0.0.1\"; .port = \"" + backend_port() + "\"; }\n" + R"(
sub vcl_recv {
    if (req.method == "BAN") {
        ban("obj.http.X-Url ~ " + req.http.X-Ban);
        return (synth(200, "banned"));
    }
}
sub vcl_backend_response { set beresp.http.X-Url = bereq.url; }
sub vcl_deliver {
    if (obj.hits > 0) { set resp.http.Cache-Status = "varnish; hit"; }
    else { set resp.http.Cache-Status = "varnish; fwd=miss"; }
}
)";
        return {"/usr/sbin/varnishd",
                "-F",
                "-j",
                "none",
                "-a",
                "127.0.0.1:" + std::to_string(port),
                "-f",
                directory.write("default.vcl", text),
                "-n",
                directory.path() + "/work",
                "-s",
                "malloc,64m",
                "-p",
                "thread_pools=1",
                "-p",
                "thread_pool_min=50"};
    }
};

}  // namespace

std::unique_ptr<Proxies> make_nginxes(std::uint16_t backend_port) { return std::make_unique<Nginxes>(backend_port); }
std::unique_ptr<Proxies> make_varnishes(std::uint16_t backend_port)
{
    return std::make_unique<Varnishes>(backend_port);
}

}  // namespace larder::tests
