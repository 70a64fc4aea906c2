// Counters of one worker thread. The thread adds without any lock; a scrape sums over the threads. Names, help texts
// and words come from tables; per-rule counters are arrays by rule index, so counting an exchange costs a few
// additions.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rules/base/errors.hpp"
#include "rules/base/time.hpp"
#include "rules/http/head.hpp"
#include "rules/verdict/verdict.hpp"

namespace larder::proxy {

// Columns: name, metric name, help.
#define LARDER_COUNTERS(X)                                                                                           \
    X(connections_accepted, "larder_client_connections_total", "Client connections accepted")                        \
    X(connections_refused, "larder_client_connections_refused_total",                                                \
      "Client connections closed at once: limit reached")                                                            \
    X(connections_closed, "larder_client_connections_closed_total", "Client connections that have ended")            \
    X(client_timeouts, "larder_client_timeouts_total", "Client connections ended by a deadline")                     \
    X(clients_too_slow, "larder_client_too_slow_total",                                                              \
      "Client connections ended because a body moved more slowly than limits.client_rate")                           \
    X(bytes_in, "larder_client_received_bytes_total", "Bytes received from clients")                                 \
    X(bytes_out, "larder_client_sent_bytes_total", "Bytes sent to clients")                                          \
    X(upstream_connects, "larder_upstream_connects_total", "New connections to the upstream")                        \
    X(upstream_reuses, "larder_upstream_reuses_total", "Requests sent on a kept-alive upstream connection")          \
    X(upstream_retries, "larder_upstream_retries_total", "Requests sent again because a reused connection had died") \
    X(fetches, "larder_upstream_requests_total", "Requests sent to the upstream")                                    \
    X(fetches_abandoned, "larder_upstream_requests_abandoned_total",                                                 \
      "Requests to the upstream that were ended because the client had gone and nothing was to be stored")           \
    X(fills, "larder_fills_total", "Fetches begun to fill the cache")                                                \
    X(joins, "larder_fill_joins_total", "Requests that waited for a fill begun by another")                          \
    X(join_timeouts, "larder_fill_join_timeouts_total", "Requests that stopped waiting for a fill and went alone")   \
    X(validations_mismatched, "larder_validations_mismatched_total",                                                 \
      "304 answers about another response than the stored one: fetched again without a condition")                   \
    X(head_renewals, "larder_head_renewals_total", "Stored responses renewed by the answer to a forwarded HEAD")     \
    X(parts_stored, "larder_parts_stored_total", "Responses of which a range was stored")                            \
    X(variants_replaced, "larder_variants_replaced_total",                                                           \
      "Variants that took the place of the oldest of their key's 16")                                                \
    X(leases_won, "larder_leases_won_total", "Fills that got the lease of their key: they fetch for all replicas")   \
    X(leases_released, "larder_leases_released_total", "Leases given back without a stored response")                \
    X(lease_waits, "larder_lease_waits_total", "Fills that waited for another replica's fetch")                      \
    X(lease_wait_timeouts, "larder_lease_wait_timeouts_total",                                                       \
      "Fills that stopped waiting for another replica's fetch and went on without the lease")                        \
    X(fetches_spared, "larder_lease_fetches_spared_total", "Fills that found another replica's response: no fetch")  \
    X(uncacheable_told, "larder_uncacheable_told_total", "Keys reported to all replicas as uncacheable")             \
    X(uncacheable_known, "larder_uncacheable_known_total",                                                           \
      "Fills that learned from another replica that their key is uncacheable")                                       \
    X(uncacheable_ended, "larder_uncacheable_ended_total",                                                           \
      "Keys that were known to all replicas as uncacheable until an answer could be stored")                         \
    X(purge_records, "larder_purge_records_total", "Records appended to the purge log by this process")              \
    X(purge_deferred, "larder_purge_deferred_total", "Purges that could not be appended in time and are replayed")   \
    X(purge_replayed, "larder_purge_replayed_total", "Deferred purges appended after the store came back")           \
    X(purge_patterns_widened, "larder_purge_patterns_widened_total",                                                 \
      "Purge patterns above 1 KiB in records appended by this process: shorter ones stand for them")                 \
    X(writes_rejected, "larder_writes_rejected_total", "Writes refused by on_store_error: reject")                   \
    X(marks_renewed, "larder_marks_renewed_total",                                                                   \
      "PREPAREs repeated because a write took longer than half of its mark")                                         \
    X(log_resyncs, "larder_purge_log_resyncs_total", "Times a worker read the whole purge log anew")                 \
    X(log_floor_raises, "larder_purge_log_floor_raises_total",                                                       \
      "Times this process found the purge log of a server that had restarted, failed over or lost data")             \
    X(log_pattern_overflows, "larder_purge_log_pattern_overflows_total",                                             \
      "Times a worker forgot its oldest purge patterns, and all entries as old as those")                            \
    X(store_layouts_refused, "larder_store_layouts_refused_total",                                                   \
      "Times the store was refused because it is laid out for another number of shards")                             \
    X(store_gets, "larder_store_gets_total", "Reads sent to the store")                                              \
    X(store_puts, "larder_store_puts_total", "Entries sent to the store")                                            \
    X(store_errors, "larder_store_errors_total", "Store operations that failed")                                     \
    X(store_timeouts, "larder_store_timeouts_total", "Store operations that missed their deadline")                  \
    X(store_slow, "larder_store_slow_total", "Store operations above 100 ms")                                        \
    X(store_malformed, "larder_store_malformed_total", "Stored values that could not be read: counted as misses")    \
    X(store_connects, "larder_store_connects_total", "Connections made to the store")                                \
    X(store_downs, "larder_store_downs_total", "Times the store connection was lost")                                \
    X(store_redirects, "larder_store_redirects_total",                                                               \
      "Answers of a cluster that the data is elsewhere: MOVED, ASK, TRYAGAIN, CLUSTERDOWN")                          \
    X(store_failovers, "larder_store_failovers_total", "Connections made to another server than the one before")     \
    X(store_lookups, "larder_store_lookups_total",                                                                   \
      "Times sentinels or nodes of a cluster were asked where the data is")                                          \
    X(sentinel_downs, "larder_store_sentinel_downs_total", "Times no announcements of a sentinel could be had")      \
    X(log_lines_dropped, "larder_access_log_dropped_total", "Access-log lines dropped because the output was not taken")

enum class Counter : std::uint8_t {
#define X(name, metric, help) name,
    LARDER_COUNTERS(X)
#undef X
};
inline constexpr std::size_t counters_count = static_cast<std::size_t>(Counter::log_lines_dropped) + 1;

/// Who has asked for a purge.
/// `invalidation`: a write's response has voided what no purge rule of it has named: RFC 9111 §4.4, groups, tags; or a
/// HEAD's has shown that the stored one is outdated (§4.3.5).
enum class PurgeSource : std::uint8_t { write, admin, invalidation };
inline constexpr std::size_t purge_sources_count = 3;
std::string_view word(PurgeSource source) noexcept;

/// What the shared store was asked for. Columns: name, word.
#define LARDER_STORE_OPERATIONS(X)                                  \
    X(get, "get")     /* an entry, with the log's counter */        \
    X(put, "put")     /* STORE */                                   \
    X(look, "look")   /* the log's counter alone */                 \
    X(purge, "purge") /* PREPARE, COMMIT, purges by hand */         \
    X(lease, "lease") /* of a fill: taken, looked at, given back */ \
    X(log, "log")     /* the log read anew, the server asked who it is, what it has */

enum class StoreOperation : std::uint8_t {
#define X(name, word) name,
    LARDER_STORE_OPERATIONS(X)
#undef X
};
inline constexpr std::size_t store_operations_count = static_cast<std::size_t>(StoreOperation::log) + 1;
std::string_view word(StoreOperation operation) noexcept;

/// Of a request's method: `read` GET and HEAD, `write` POST, PUT, PATCH and DELETE; `other` also where no request was
/// understood.
enum class MethodClass : std::uint8_t { read, write, other };
inline constexpr std::size_t method_classes_count = 3;

constexpr MethodClass class_of(rules::Method method) noexcept
{
    using rules::Method;
    if (method == Method::get || method == Method::head) return MethodClass::read;
    const bool is_write =
        method == Method::post || method == Method::put || method == Method::patch || method == Method::delete_;
    return is_write ? MethodClass::write : MethodClass::other;
}

/// What has come of holding a served response against the app's answer.
enum class Verified : std::uint8_t {
    same,
    different,  // and what is stored was still valid when that was known
    outdated,   // another response has taken its place meanwhile, or a write has purged it
    failed,     // the app gave no answer, or a 5xx
};
inline constexpr std::size_t verified_count = 4;
std::string_view word(Verified verified) noexcept;

/// How an exchange ended, for counting and for the access log.
struct ExchangeCount {
    std::uint32_t rule = UINT32_MAX;  // index of the cache rule; UINT32_MAX: none
    rules::Verdict verdict = rules::Verdict::bypass;
    rules::Forward forward = rules::Forward::none;
    rules::NotStored not_stored = rules::NotStored::none;
    rules::Outcome outcome = rules::Outcome::served;
    MethodClass method = MethodClass::other;
    int status = 0;
    std::uint32_t mark_rule = UINT32_MAX;  // with write_open: index of the purge rule whose write it is, if known
};

/// More rule names than these, over all reloads, are counted as "no rule".
inline constexpr std::size_t most_counted_names = 4096;

/// One writer: the worker. Any thread may read.
class Counters {
  public:
    /// @param rules_count  names in `Config::counted_names`; one more row is kept for "no rule"
    explicit Counters(std::size_t rules_count);
    /// The same for another configuration; what was counted stays. Of the worker.
    void reserve_rules(std::size_t rules_count);

    void add(Counter counter, std::uint64_t n = 1) noexcept { bump(plain_[static_cast<std::size_t>(counter)], n); }
    std::uint64_t get(Counter counter) const noexcept
    {
        return plain_[static_cast<std::size_t>(counter)].load(std::memory_order_relaxed);
    }
    void add_error(rules::Errc error) noexcept;
    /// Adds one purge, of however many keys and patterns, to larder_purges_total{source}.
    void add_purge(PurgeSource source) noexcept;
    void add_head_fault(rules::Scan fault) noexcept;
    /// Adds one exchange to larder_requests_total{rule,verdict}, larder_forwards_total{rule,reason},
    /// larder_not_stored_total{rule,reason}, larder_outcomes_total{outcome}, larder_responses_total{rule,method,class};
    /// one that passed by an open mark also to larder_marked_passes_total{rule}, by the rule that has opened it.
    void add_exchange(const ExchangeCount& exchange) noexcept;
    /// Adds to larder_responses_total alone: an answer to what never became an exchange, as a head that is no
    /// HTTP.
    void add_response(int status) noexcept;
    /// Adds to larder_not_stored_total alone: a refusal that is known only after the exchange was counted.
    void add_not_stored(std::uint32_t rule, rules::NotStored reason) noexcept;
    /// A request that was answered without a fetch of its own: adds what one of its rule takes on this worker, as
    /// `add_fetch` has seen, to larder_backend_seconds_saved_total{rule}, and `body_bytes` to
    /// larder_backend_bytes_saved_total{rule}.
    void add_saved(std::uint32_t rule, std::uint64_t body_bytes) noexcept;
    /// Adds to larder_upstream_duration_seconds: request sent to response head received.
    void add_fetch(std::uint32_t rule, std::chrono::nanoseconds duration) noexcept;
    /// Adds to larder_store_operation_duration_seconds{operation}: sent to answered.
    void add_store_operation(StoreOperation operation, std::chrono::nanoseconds duration) noexcept;
    /// Adds to larder_verifications_total{rule,result}.
    void add_verification(std::uint32_t rule, Verified verified) noexcept;
    /// Adds to larder_purges_by_rule_total{rule}.
    void add_purge_of(std::uint32_t rule) noexcept;
    /// Adds to larder_request_duration_seconds{verdict}: head received to last byte handed to the kernel.
    void add_duration(rules::Verdict verdict, std::chrono::nanoseconds duration) noexcept;

    /// A gauge's value as kept by the worker: open connections, fills under way, ...
    std::atomic<std::int64_t> open_connections{0}, fills_under_way{0}, upstream_idle{0}, upstream_busy{0},
        open_marks{0}, replica_patterns{0};
    /// Deadlines that run, as counted every 5 s.
    std::atomic<std::int64_t> armed_deadlines{0};
    /// Connections to the store that the worker keeps, one for each shard, and those of them that are up.
    std::atomic<std::int64_t> store_links{0}, store_links_up{0};
    bool store_is_up() const noexcept
    {
        return store_links_up.load(std::memory_order_relaxed) == store_links.load(std::memory_order_relaxed);
    }

    struct Cells;
    const Cells& cells() const noexcept { return *cells_; }
    ~Counters();

  private:
    template <class Histogram>
    static void add_to(Histogram& histogram, std::chrono::nanoseconds duration) noexcept;
    static void bump(std::atomic<std::uint64_t>& cell, std::uint64_t n) noexcept
    {
        cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    std::array<std::atomic<std::uint64_t>, counters_count> plain_{};
    std::unique_ptr<Cells> cells_;
};

}  // namespace larder::proxy
