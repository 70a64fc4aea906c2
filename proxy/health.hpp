// What probes and GET /health/cache say: the state of the workers, of the store and of the cache, in words and figures.
#pragma once

#include <optional>
#include <string>

#include "proxy/admin/probe.hpp"
#include "proxy/observe/last_minute.hpp"
#include "proxy/observe/process.hpp"
#include "proxy/workers.hpp"

namespace larder::proxy {

/// Everything is borrowed. Of the thread that serves admin requests.
class Health {
  public:
    struct Parts {
        const config::ConfigPtr& config;  // in force
        const Workers& workers;
        const SharedLogState& log_state;
        const MemoryStore& memory;
        const ConnectionLimit& connections;
        const bool& draining;  // POST /drain
        const bool& stopping;  // a signal
    };
    explicit Health(const Parts& parts) : parts_(parts) {}

    /// Have the workers spoken to the store once, or given it its time?
    bool has_begun() const;
    bool is_ready() const { return has_begun() && !parts_.draining && !parts_.stopping; }
    /// GET /livez. Looks at the event loops and at nothing outside: a restart mends neither Redis nor the app.
    Probe alive() const;
    /// GET /readyz.
    Probe ready() const;

    /// Once a second: notes since when the cache works with less than it was given, and what the minute was like.
    void tick();
    /// GET /health/cache.
    /// @param store_memory  empty: there is no store, or it has not told
    std::string cache_json(std::optional<Worker::StoreMemory> store_memory);

  private:
    bool is_redis() const { return parts_.config->store.kind == config::StoreKind::redis; }
    bool is_degraded() const;
    void note_degraded();

    Parts parts_;
    LastMinute last_minute_;
    rules::Instant next_note_{};
    std::optional<rules::WallTime> degraded_since_;
};

}  // namespace larder::proxy
