#include "proxy/health.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "proxy/net/clock.hpp"

namespace larder::proxy {

namespace {

std::string_view word_of(std::size_t up, std::size_t all) { return up == all ? "up" : up == 0 ? "down" : "partly up"; }

std::string rfc3339(rules::WallTime time)
{
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", std::chrono::floor<std::chrono::seconds>(time));
}

}  // namespace

bool Health::has_begun() const
{
    const Workers& workers = parts_.workers;
    return !workers.empty() &&
           std::all_of(workers.begin(), workers.end(), [](const auto& worker) { return worker->ready(); });
}

Probe Health::alive() const
{
    constexpr std::chrono::seconds stuck_after{5};
    Probe probe{"livez", {{"admin", ProbeCheck::State::ok, {}}}};
    const rules::Instant now = instant_now();
    for (std::size_t i = 0; i < parts_.workers.size(); ++i) {
        ProbeCheck check{"worker-" + std::to_string(i), ProbeCheck::State::ok, {}};
        const auto still = std::chrono::duration_cast<std::chrono::seconds>(now - parts_.workers[i]->last_turn());
        if (still > stuck_after && !parts_.stopping) {
            check.state = ProbeCheck::State::failed;
            check.why = "its event loop has not turned for " + std::to_string(still.count()) + " s";
        }
        probe.checks.push_back(std::move(check));
    }
    return probe;
}

Probe Health::ready() const
{
    using State = ProbeCheck::State;
    Probe probe{"readyz", {{"configuration", State::ok, {}}, {"listener", State::ok, {}}}};
    ProbeCheck store{is_redis() ? "redis" : "embedded-store", State::ok, {}};
    std::size_t up = 0;
    for (const auto& worker : parts_.workers) up += worker->counters().store_is_up() ? 1 : 0;
    if (!has_begun()) {
        store.state = State::failed;
        store.why = "its first answer is waited for, up to 3 s";
    } else if (up < parts_.workers.size() || parts_.log_state.foreign()) {
        store.state = State::degraded;
        store.why = parts_.log_state.foreign() ? "is laid out for another number of shards: requests pass by"
                    : up == 0                  ? "is away: requests pass by"
                                               : "is away for some workers: their requests pass by";
    }
    probe.checks.push_back(std::move(store));
    if (parts_.config->cache == rules::CacheMode::off)
        probe.checks.push_back({"cache", State::degraded, "is switched off: requests pass by"});
    ProbeCheck shutdown{"shutdown", State::ok, {}};
    if (parts_.draining || parts_.stopping) {
        shutdown.state = State::failed;
        shutdown.why = parts_.stopping ? "the process is stopping" : "draining was asked for";
    }
    probe.checks.push_back(std::move(shutdown));
    return probe;
}

bool Health::is_degraded() const
{
    if (!is_redis() || parts_.workers.empty()) return false;
    if (parts_.log_state.foreign() || parts_.log_state.deferred_count() != 0) return true;
    return std::any_of(parts_.workers.begin(), parts_.workers.end(),
                       [](const auto& worker) { return !worker->counters().store_is_up(); });
}

void Health::note_degraded()
{
    if (!is_degraded())
        degraded_since_.reset();
    else if (!degraded_since_)
        degraded_since_ = wall_now();
}

void Health::tick()
{
    note_degraded();
    const rules::Instant now = instant_now();
    if (now < next_note_) return;
    next_note_ = now + LastMinute::step;
    last_minute_.note(totals_of(counters_of(parts_.workers)), now);
}

std::string Health::cache_json(std::optional<Worker::StoreMemory> store_memory)
{
    note_degraded();
    const config::Config& config = *parts_.config;
    const Workers& workers = parts_.workers;
    boost::json::object told;
    told["status"] = parts_.stopping || parts_.draining ? "draining" : degraded_since_ ? "degraded" : "ok";
    told["cache"] = config.cache == rules::CacheMode::off ? "off" : "on";

    std::size_t up = 0, links = 0;
    boost::json::array shards;
    // Of all workers' connections. One worker may lose its own; one shard's node takes a part of the keys with it.
    for (std::size_t shard = 0; is_redis() && shard < parts_.log_state.shards_count(); ++shard) {
        std::size_t shard_up = 0;
        for (const auto& worker : workers) shard_up += worker->shard_up(shard) ? 1 : 0;
        up += shard_up;
        links += workers.size();
        boost::json::object one{{"shard", shard},
                                {"store", word_of(shard_up, workers.size())},
                                {"deferred_purges", parts_.log_state.shard(shard).deferred.count()}};
        if (parts_.log_state.shard(shard).foreign) one["refused"] = "laid out for another number of shards";
        shards.push_back(std::move(one));
    }
    told["store"] = !is_redis() ? "embedded" : parts_.log_state.foreign() ? "refused" : word_of(up, links);
    told["degraded_since"] = nullptr;
    if (degraded_since_) told["degraded_since"] = rfc3339(*degraded_since_);
    told["deferred_purges"] = parts_.log_state.deferred_count();

    const std::vector<const Counters*> all = counters_of(workers);
    const LastMinute::Rates rates = last_minute_.rates(totals_of(all), instant_now());
    // Boost.JSON writes 0.25 as 2.5E-1: JSON, too, but nothing to read.
    const std::string figures =
        fmt::format(R"("window_seconds":{:.1f},"hit_rate":{:.4f},"miss_rate":{:.4f},"bypass_rate":{:.4f},)"
                    R"("requests_per_minute":{:.1f},"store_operations_per_minute":{:.1f},"store_latency_ms":{:.3f})",
                    rates.seconds, rates.hit_rate, rates.miss_rate, rates.bypass_rate, rates.requests_per_minute,
                    rates.store_operations_per_minute, rates.store_milliseconds);

    const auto sum = [&all](std::atomic<std::int64_t> Counters::*gauge) {
        std::int64_t total = 0;
        for (const Counters* worker : all) total += (worker->*gauge).load(std::memory_order_relaxed);
        return total;
    };
    told["connections"] =
        boost::json::object{{"clients", sum(&Counters::open_connections)},
                            {"clients_limit", parts_.connections.most.load(std::memory_order_relaxed)},
                            {"upstream_busy", sum(&Counters::upstream_busy)},
                            {"upstream_idle", sum(&Counters::upstream_idle)},
                            {"store", up},
                            {"store_wanted", links}};
    const MemoryStats memory = parts_.memory.stats();
    boost::json::object used{{"used_bytes", memory.bytes},
                             {"limit_bytes", parts_.memory.capacity_bytes()},
                             {"entries", memory.entries},
                             {"process_bytes", process_figures().resident_bytes}};
    if (store_memory && store_memory->servers != 0) {
        used["store_used_bytes"] = store_memory->used_bytes;
        used["store_limit_bytes"] = nullptr;
        if (store_memory->limit_bytes != 0) used["store_limit_bytes"] = store_memory->limit_bytes;
    }
    told["memory"] = std::move(used);
    if (!shards.empty()) told["shards"] = std::move(shards);
    told["version"] = LARDER_VERSION;
    std::string text = boost::json::serialize(told);
    text.back() = ',';
    return text + figures + "}\n";
}

}  // namespace larder::proxy
