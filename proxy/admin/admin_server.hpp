// The operator's door: dashboard, probes, metrics, explain and purge over an HTTP server of its own, on `admin:` and
// nowhere else. Far from the request path; it knows nothing of the app but what its handlers tell it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "proxy/admin/probe.hpp"
#include "proxy/admin/purge_endpoint.hpp"
#include "proxy/admin/switch_endpoint.hpp"
#include "proxy/net/asio.hpp"
#include "proxy/observe/metrics.hpp"
#include "rules/http/head.hpp"

namespace larder::proxy {

/// What has become of a reload.
struct ReloadTold {
    bool ok = false;
    std::vector<std::string> errors;  // when it was refused: `FILE:line:col: message`
    std::vector<std::string> kept;    // options that want a restart
};

/// What the server asks for. Called on the thread of its io_context, one at a time; they must not wait for long, but
/// for those that are awaited: these do not hold the thread.
struct AdminHandlers {
    std::function<Probe()> alive;                               // GET /livez and /healthz: 200 when it passes, else 503
    std::function<Probe()> ready;                               // GET /readyz: the same
    std::function<asio::awaitable<std::string>()> health_json;  // GET /health/cache: the body; waits for the store
    std::function<std::string()> metrics;                       // GET /metrics: the text
    std::function<config::ConfigPtr()> config;                  // GET /explain: the configuration now in force
    std::function<std::string()> rules_json;                    // GET /rules: the body
    std::function<std::string()> events_json;                   // GET /events: the body
    PurgeByHand purge;                                          // POST /purge
    std::function<void()> drain;                                // POST /drain: `ready` fails from now on
    std::function<asio::awaitable<ReloadTold>()> reload;        // POST /-/reload: waits until all workers serve by it
    SwitchHandlers switches;                                    // GET and POST /switches
};

struct AdminLimits {
    rules::HeadLimits head{};
    std::uint64_t body_bytes = 1 << 20;         // then 413
    std::chrono::milliseconds timeout{10'000};  // to read one request, to write one response
    /// With as many, a new one takes the place of the one that has waited longest without a complete request; if there
    /// is none, of the one that is longest in taking its answer. One whose purge is under way is never given up.
    std::uint32_t connections = 64;
};

/// Single-threaded, except for `stop`.
class AdminServer {
  public:
    /// Listens from now on. Throws boost::system::system_error when the endpoint cannot be listened on.
    /// @param context  must outlive the server and be run by one thread
    /// @param endpoint port 0: any free port. An empty host is every IPv4 address.
    AdminServer(asio::io_context& context, const config::Endpoint& endpoint, AdminHandlers handlers,
                AdminLimits limits = AdminLimits());
    ~AdminServer();
    AdminServer(const AdminServer&) = delete;
    AdminServer& operator=(const AdminServer&) = delete;

    /// Where it listens, with the port that was chosen: "127.0.0.1:9090".
    std::string listens_on() const;
    std::uint16_t port() const noexcept;
    /// On the thread of its io_context.
    const AdminCounts& counts() const noexcept;

    /// Serves until `stop`. Ends when the last of its connections has ended; the server must live until then.
    asio::awaitable<void> run();
    /// Closes the listener and all connections. From any thread, before or during `run`; more than once does no harm.
    void stop();

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace larder::proxy
