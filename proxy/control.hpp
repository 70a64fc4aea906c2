// What an operator may ask of a process that serves: purges by hand, another configuration, switches, a drain. It is
// handed to the workers, each of which does it on its own thread, and waited for. No HTTP: `admin` speaks that.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "proxy/admin/admin_server.hpp"
#include "proxy/live_config.hpp"
#include "proxy/workers.hpp"

namespace larder::proxy {

/// Of the thread that serves admin requests. Everything is borrowed and outlives the workers' last turn; the coroutines
/// borrow this, and are awaited for as long as its io_context runs.
class Control {
  public:
    struct Parts {
        asio::io_context& context;        // of that thread: outlives the workers, in which answers to it may wait
        const config::Store& store;       // of the start: it stays
        const std::uint64_t& open_files;  // as many as the process may have
        LiveConfig& live;
        const Workers& workers;
        ConnectionLimit& connections;
        InflightLimit& inflight;
        bool& draining;        // POST /drain
        const bool& stopping;  // a signal
    };
    /// From now on, whatever `live` takes is put into force here, whoever has caused it.
    explicit Control(const Parts& parts);
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;

    /// The limits that are counted over all workers.
    void apply_limits(const config::Limits& limits);

    /// Has one worker append a purge to the log, and waits for it, 5 s at most.
    asio::awaitable<HandPurge> purge(std::vector<rules::PurgeTarget> targets);
    /// What the store's servers use of their memory. Empty: there is no store, the process stops, or no answer came
    /// within two of the store's timeouts.
    asio::awaitable<std::optional<Worker::StoreMemory>> store_memory();
    /// Reads the configuration anew and waits until all workers serve by it, 5 s at most.
    asio::awaitable<ReloadTold> reload();
    /// The same with other switches. Returns what is wrong, in words; empty: they are in force.
    asio::awaitable<std::string> switch_to(config::Switches switches);
    /// Has answers close their connections and `ready` fail; everything else goes on.
    void drain();

  private:
    void publish(const config::ConfigPtr& next, std::function<void()> done);
    template <class Change>
    asio::awaitable<LiveConfig::Outcome> put_into_force(Change change);

    Parts parts_;
};

}  // namespace larder::proxy
