#include "proxy/observe/metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <map>

#include "proxy/observe/cells.hpp"

namespace larder::proxy {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Workers = std::vector<const Counters*>;
using Labels = std::vector<ClientMetric::Label>;

class Families {
  public:
    MetricFamily& begin(std::string name, std::string help, MetricType type)
    {
        all_.push_back({std::move(name), std::move(help), type, {}});
        return all_.back();
    }
    void counter(std::string name, std::string help, double value)
    {
        add(begin(std::move(name), std::move(help), MetricType::Counter), {}, value);
    }
    void gauge(std::string name, std::string help, double value)
    {
        add(begin(std::move(name), std::move(help), MetricType::Gauge), {}, value);
    }
    static void add(MetricFamily& family, Labels labels, double value)
    {
        ClientMetric metric;
        metric.label = std::move(labels);
        metric.counter.value = value;
        metric.gauge.value = value;
        family.metric.push_back(std::move(metric));
    }
    std::string text() const { return prometheus::TextSerializer{}.Serialize(all_); }

  private:
    std::vector<MetricFamily> all_;
};

// Sum over the workers of what `cell` finds in each one's cells.
template <class Cell>
std::uint64_t sum(const Workers& workers, Cell cell)
{
    std::uint64_t total = 0;
    for (const Counters* worker : workers) total += cell(worker->cells()).load(std::memory_order_relaxed);
    return total;
}

std::int64_t sum(const Workers& workers, std::atomic<std::int64_t> Counters::*gauge)
{
    std::int64_t total = 0;
    for (const Counters* worker : workers) total += (worker->*gauge).load(std::memory_order_relaxed);
    return total;
}

// One rule's row summed over the workers. Rules of one name share a row: two series with the same labels are an error.
struct RuleSums {
    std::array<std::uint64_t, verdicts_count> verdicts{};
    std::array<std::uint64_t, rules::forward_reasons_count> forwards{};
    std::array<std::uint64_t, rules::store_reasons_count> not_stored{};
    std::array<std::array<std::uint64_t, classes_count>, method_classes_count> responses{};
    std::array<std::uint64_t, verified_count> verified{};
    std::uint64_t saved_nanoseconds = 0, saved_bytes = 0;
    bool seen = false;
};

std::map<std::string, RuleSums> sum_by_rule(const Workers& workers, const config::Config& config)
{
    std::map<std::string, RuleSums> sums;
    const auto add = [](RuleSums& to, auto& totals, const auto& cells) {
        for (std::size_t i = 0; i < totals.size(); ++i) {
            const std::uint64_t value = cells[i].load(std::memory_order_relaxed);
            totals[i] += value;
            to.seen = to.seen || value != 0;
        }
    };
    for (const Counters* worker : workers) {
        const auto& rows = worker->cells().rules;
        for (std::size_t i = 0; i <= rows.size(); ++i) {  // the one behind the last: no rule
            const bool named = i < config.counted_names.size() && i < rows.size() && !config.counted_names[i].empty();
            RuleSums& to = sums[named ? config.counted_names[i] : "none"];
            add(to, to.verdicts, rows[i].verdicts);
            add(to, to.forwards, rows[i].forwards);
            add(to, to.not_stored, rows[i].not_stored);
            add(to, to.verified, rows[i].verified);
            for (std::size_t method = 0; method < method_classes_count; ++method)
                add(to, to.responses[method], rows[i].responses[method]);
            to.saved_nanoseconds += rows[i].saved_nanoseconds.load(std::memory_order_relaxed);
            to.saved_bytes += rows[i].saved_bytes.load(std::memory_order_relaxed);
        }
    }
    return sums;
}

void add_plain_counters(Families& families, const Workers& workers)
{
    const auto total = [&](Counter counter) {
        std::uint64_t sum_of_workers = 0;
        for (const Counters* worker : workers) sum_of_workers += worker->get(counter);
        return static_cast<double>(sum_of_workers);
    };
#define X(name, metric, help) families.counter(metric, help, total(Counter::name));
    LARDER_COUNTERS(X)
#undef X
}

void add_by_rule(Families& families, const std::map<std::string, RuleSums>& sums)
{
    auto& requests = families.begin("larder_requests_total", "Exchanges by rule and verdict", MetricType::Counter);
    for (const auto& [rule, row] : sums) {
        if (!row.seen) continue;
        for (std::size_t i = 0; i < row.verdicts.size(); ++i) {
            // Also those at 0, so that a hit ratio can be computed from the first request on.
            const auto verdict = static_cast<rules::Verdict>(i);
            Families::add(requests, {{"rule", rule}, {"verdict", std::string{word(verdict)}}},
                          static_cast<double>(row.verdicts[i]));
        }
    }
    const auto add_reasons = [&](const char* label, MetricFamily& family, auto reason_of, auto totals_of) {
        for (const auto& [rule, row] : sums) {
            const auto& totals = totals_of(row);
            for (std::size_t i = 0; i < totals.size(); ++i)
                if (totals[i] != 0)
                    Families::add(family, {{"rule", rule}, {label, std::string{word(reason_of(i))}}},
                                  static_cast<double>(totals[i]));
        }
    };
    add_reasons(
        "reason",
        families.begin("larder_forwards_total", "Exchanges not answered from the cache, by rule and reason",
                       MetricType::Counter),
        [](std::size_t i) { return static_cast<rules::Forward>(i); },
        [](const RuleSums& row) -> const auto& { return row.forwards; });
    add_reasons(
        "reason",
        families.begin("larder_not_stored_total", "Responses that were not stored, by rule and reason",
                       MetricType::Counter),
        [](std::size_t i) { return static_cast<rules::NotStored>(i); },
        [](const RuleSums& row) -> const auto& { return row.not_stored; });

    add_reasons(
        "result",
        families.begin("larder_verifications_total",
                       "Hits that were held against what the app answers now, by rule and result", MetricType::Counter),
        [](std::size_t i) { return static_cast<Verified>(i); },
        [](const RuleSums& row) -> const auto& { return row.verified; });

    auto& responses =
        families.begin("larder_responses_total",
                       "Responses sent to clients, by rule, class of method and class of status", MetricType::Counter);
    constexpr const char* methods[method_classes_count] = {"read", "write", "other"};
    for (const auto& [rule, row] : sums)
        for (std::size_t method = 0; method < method_classes_count; ++method)
            for (std::size_t i = 0; i < classes_count; ++i)
                if (row.responses[method][i] != 0)
                    Families::add(responses,
                                  {{"rule", rule},
                                   {"method", methods[method]},
                                   {"class", i == 0 ? "none" : std::to_string(i) + "xx"}},
                                  static_cast<double>(row.responses[method][i]));

    auto& seconds = families.begin("larder_backend_seconds_saved_total",
                                   "Time of the upstream that responses from the cache have spared, by what a fetch of "
                                   "their rule takes on the same worker",
                                   MetricType::Counter);
    auto& bytes = families.begin("larder_backend_bytes_saved_total",
                                 "Body bytes that the upstream did not have to send", MetricType::Counter);
    for (const auto& [rule, row] : sums) {
        if (!row.seen) continue;
        Families::add(seconds, {{"rule", rule}}, static_cast<double>(row.saved_nanoseconds) / 1e9);
        Families::add(bytes, {{"rule", rule}}, static_cast<double>(row.saved_bytes));
    }
}

void add_marked_passes(Families& families, const Workers& workers, const config::Config& config)
{
    auto& family = families.begin(
        "larder_marked_passes_total",
        "Requests that passed by because a write was under way, by the purge rule of the write", MetricType::Counter);
    const auto passes = [&](std::size_t row) {
        return static_cast<double>(sum(
            workers, [row](const auto& cells) -> auto& { return cells.rules[row].marked_passes; }));
    };
    std::map<std::string_view, std::size_t> purge_rules;
    for (const rules::Rule& rule : config.rules)
        if (rule.is_purge()) purge_rules.emplace(rule.name, rule.index);
    for (const auto& [rule, row] : purge_rules) Families::add(family, {{"rule", std::string(rule)}}, passes(row));
    // Of replicas with another configuration.
    Families::add(family, {{"rule", "other"}}, passes(SIZE_MAX));

    auto& purges = families.begin("larder_purges_by_rule_total", "Writes that a purge rule has matched, by that rule",
                                  MetricType::Counter);
    for (const auto& [rule, row] : purge_rules)
        Families::add(purges, {{"rule", std::string(rule)}},
                      static_cast<double>(sum(
                          workers, [at = row](const auto& cells) -> auto& { return cells.rules[at].purges; })));
}

void add_by_word(Families& families, const Workers& workers)
{
    auto& outcomes = families.begin("larder_outcomes_total", "Exchanges by outcome", MetricType::Counter);
    for (std::size_t i = 0; i < rules::outcomes_count; ++i)
        Families::add(outcomes, {{"outcome", std::string{word(static_cast<rules::Outcome>(i))}}},
                      static_cast<double>(sum(
                          workers, [i](const auto& cells) -> auto& { return cells.outcomes[i]; })));

    auto& errors =
        families.begin("larder_errors_total", "Failures by name and by whose fault they are", MetricType::Counter);
    constexpr const char* blames[] = {"client", "upstream", "store", "operator"};
    for (std::size_t i = 1; i < errors_count; ++i) {
        const auto error = static_cast<rules::Errc>(i);
        Families::add(errors,
                      {{"error", std::string{word(error)}}, {"blame", blames[static_cast<std::size_t>(blame(error))]}},
                      static_cast<double>(sum(
                          workers, [i](const auto& cells) -> auto& { return cells.errors[i]; })));
    }

    auto& purges = families.begin(
        "larder_purges_total",
        "Purges by who has asked for them: a write's rules, an operator by hand, or RFC 9111 4.4", MetricType::Counter);
    for (std::size_t i = 0; i < purge_sources_count; ++i)
        Families::add(purges, {{"source", std::string{word(static_cast<PurgeSource>(i))}}},
                      static_cast<double>(sum(
                          workers, [i](const auto& cells) -> auto& { return cells.purges[i]; })));

    auto& faults = families.begin("larder_refused_heads_total", "Message heads refused by the scanner, by reason",
                                  MetricType::Counter);
    for (std::size_t i = static_cast<std::size_t>(rules::Scan::incomplete) + 1; i < scans_count; ++i)
        Families::add(faults, {{"reason", std::string{word(static_cast<rules::Scan>(i))}}},
                      static_cast<double>(sum(
                          workers, [i](const auto& cells) -> auto& { return cells.head_faults[i]; })));
}

/// @param histogram_of  of one worker's cells
template <class HistogramOf>
void add_histogram(MetricFamily& family, const Workers& workers, Labels labels, HistogramOf histogram_of)
{
    ClientMetric metric;
    metric.label = std::move(labels);
    std::uint64_t count = 0;
    for (std::size_t i = 0; i <= duration_bounds.size(); ++i) {
        count += sum(
            workers, [&](const auto& cells) -> auto& { return histogram_of(cells).buckets[i]; });
        if (i < duration_bounds.size())
            metric.histogram.bucket.push_back({count, static_cast<double>(duration_bounds[i].count()) / 1e6});
    }
    // The count is that of the buckets, whatever the workers add meanwhile: the two must never disagree.
    metric.histogram.sample_count = count;
    metric.histogram.sample_sum =
        static_cast<double>(sum(
            workers, [&](const auto& cells) -> auto& { return histogram_of(cells).sum_nanoseconds; })) /
        1e9;
    family.metric.push_back(std::move(metric));
}

void add_durations(Families& families, const Workers& workers, const config::Config& config)
{
    auto& requests =
        families.begin("larder_request_duration_seconds",
                       "From the request's head to the response's last byte, by verdict", MetricType::Histogram);
    for (std::size_t i = 0; i < verdicts_count; ++i)
        add_histogram(
            requests, workers,
            {{"verdict", std::string{word(static_cast<rules::Verdict>(i))}}}, [i](const auto& cells) -> auto& {
                return cells.durations[i];
            });
    auto& fetches = families.begin("larder_upstream_duration_seconds",
                                   "From a request to the upstream to the head of its response", MetricType::Histogram);
    add_histogram(
        fetches, workers, {}, [](const auto& cells) -> auto& { return cells.fetches; });
    if (config.store.kind == config::StoreKind::embedded) return;
    auto& store = families.begin("larder_store_operation_duration_seconds",
                                 "From a command to the store to its reply, by operation", MetricType::Histogram);
    for (std::size_t i = 0; i < store_operations_count; ++i)
        add_histogram(
            store, workers,
            {{"operation", std::string{word(static_cast<StoreOperation>(i))}}}, [i](const auto& cells) -> auto& {
                return cells.store_operations[i];
            });
}

void add_trace(Families& families, const TraceCounts& counts)
{
    families.counter("larder_trace_spans_exported_total", "Spans that the collector has taken",
                     static_cast<double>(counts.exported));
    auto& dropped = families.begin("larder_trace_spans_dropped_total",
                                   "Recorded spans that were not exported, by reason", MetricType::Counter);
    Families::add(dropped, {{"reason", "queue-full"}}, static_cast<double>(counts.dropped_queue_full));
    Families::add(dropped, {{"reason", "export-failed"}}, static_cast<double>(counts.dropped_export_failed));
    Families::add(dropped, {{"reason", "rejected"}}, static_cast<double>(counts.dropped_rejected));
    Families::add(dropped, {{"reason", "shutdown"}}, static_cast<double>(counts.dropped_shutdown));
    families.counter("larder_trace_exports_failed_total", "Attempts to export spans that failed",
                     static_cast<double>(counts.exports_failed));
}

void add_gauges(Families& families, const Workers& workers, const config::Config& config, const ExtraGauges& extra)
{
    const auto of_workers = [&](std::atomic<std::int64_t> Counters::*gauge) {
        return static_cast<double>(sum(workers, gauge));
    };
    // Every worker has a replica of the same log: the largest is the one that has seen most.
    const auto largest = [&](std::atomic<std::int64_t> Counters::*gauge) {
        std::int64_t most = 0;
        for (const Counters* worker : workers) most = std::max(most, (worker->*gauge).load(std::memory_order_relaxed));
        return static_cast<double>(most);
    };
    families.gauge("larder_client_connections", "Open client connections", of_workers(&Counters::open_connections));
    families.gauge("larder_fills", "Fills under way", of_workers(&Counters::fills_under_way));
    families.gauge("larder_armed_deadlines", "Deadlines that run, counted every 5 s",
                   of_workers(&Counters::armed_deadlines));
    auto& upstream = families.begin("larder_upstream_connections", "Upstream connections by state", MetricType::Gauge);
    Families::add(upstream, {{"state", "idle"}}, of_workers(&Counters::upstream_idle));
    Families::add(upstream, {{"state", "busy"}}, of_workers(&Counters::upstream_busy));
    families.gauge("larder_open_marks", "Writes prepared in the purge log and not yet committed",
                   largest(&Counters::open_marks));
    families.gauge("larder_replica_patterns", "Purge patterns that a worker's replica of the log holds",
                   largest(&Counters::replica_patterns));

    bool store_up = true;
    if (config.store.kind != config::StoreKind::embedded)
        for (const Counters* worker : workers) store_up = store_up && worker->store_is_up();
    families.gauge("larder_store_up", "1 when every worker is connected to every shard of the store", store_up ? 1 : 0);
    families.gauge("larder_ready", "1 when requests are served, 0 while starting or draining", extra.ready ? 1 : 0);

    families.gauge("larder_memory_entries", "Entries in the in-process store",
                   static_cast<double>(extra.memory_entries));
    families.gauge("larder_memory_bytes", "Bytes in use by the in-process store",
                   static_cast<double>(extra.memory_bytes));
    families.gauge("larder_memory_capacity_bytes", "Bytes that the in-process store may use",
                   static_cast<double>(extra.memory_capacity_bytes));
    families.counter("larder_memory_evictions_total", "Entries that had to leave the in-process store for others",
                     static_cast<double>(extra.memory_evicted));
    families.counter("larder_memory_expirations_total", "Entries that left the in-process store at their end",
                     static_cast<double>(extra.memory_expired));

    auto& refused = families.begin("larder_admin_refused_total",
                                   "Requests on the admin port that were refused: malformed or above a limit, without "
                                   "the token, or perhaps sent by a web page of another site",
                                   MetricType::Counter);
    Families::add(refused, {{"reason", "malformed"}}, static_cast<double>(extra.admin.malformed));
    Families::add(refused, {{"reason", "token"}}, static_cast<double>(extra.admin.token_refusals));
    Families::add(refused, {{"reason", "site"}}, static_cast<double>(extra.admin.site_refusals));
    families.counter("larder_admin_connections_dropped_total",
                     "Connections to the admin port closed because all of its places were taken",
                     static_cast<double>(extra.admin.connections_dropped));

    add_trace(families, extra.trace);
    Families::add(families.begin("larder_build_info", "Always 1; the version is in the label", MetricType::Gauge),
                  {{"version", LARDER_VERSION}}, 1);
    families.gauge("larder_workers", "Worker threads", static_cast<double>(workers.size()));
    const bool enabled = config.cache != rules::CacheMode::off;
    families.gauge("larder_cache_enabled", "0 while LARDER_CACHE=off, or while the cache is switched off at run time",
                   enabled ? 1 : 0);
    std::int64_t rules_off = 0;
    for (const rules::Rule& rule : config.rules) rules_off += !rule.is_purge() && !rule.cache ? 1 : 0;
    families.gauge("larder_rules_disabled", "Rules that store nothing: cache: off in the file, or switched off",
                   static_cast<double>(rules_off));
    families.gauge("larder_deferred_purges", "Purges that wait for the store: other replicas may be stale until then",
                   static_cast<double>(extra.deferred_purges));

    const ReloadFigures& reloads = extra.reloads;
    families.gauge("larder_config_last_reload_successful", "0 when the last reload was refused",
                   reloads.last_ok ? 1 : 0);
    families.gauge("larder_config_last_reload_success_timestamp_seconds",
                   "When the configuration in force was read, in seconds since 1970",
                   static_cast<double>(reloads.last_success.time_since_epoch().count()) / 1e3);
    auto& results = families.begin("larder_config_reloads_total", "Reloads by result", MetricType::Counter);
    Families::add(results, {{"result", "success"}}, static_cast<double>(reloads.succeeded));
    Families::add(results, {{"result", "refused"}}, static_cast<double>(reloads.failed));
    families.gauge("larder_config_needs_restart",
                   "1 when the file has an option that differs from what runs and cannot be changed by a reload",
                   reloads.needs_restart ? 1 : 0);
    // 48 bits: a double holds them all.
    families.gauge("larder_config_hash", "Of the configuration file in force: the same on replicas that have the same",
                   static_cast<double>(reloads.digest & 0xFFFFFFFFFFFFull));

    const ProcessFigures& process = extra.process;
    families.counter("process_cpu_seconds_total", "User and system time of the process, in seconds",
                     process.cpu_seconds);
    families.gauge("process_resident_memory_bytes", "Resident memory", static_cast<double>(process.resident_bytes));
    families.gauge("process_virtual_memory_bytes", "Virtual memory", static_cast<double>(process.virtual_bytes));
    families.gauge("process_open_fds", "Open file descriptors", static_cast<double>(process.open_files));
    families.gauge("process_max_fds", "Most file descriptors that may be open",
                   static_cast<double>(process.files_limit));
    families.gauge("process_threads", "Threads", static_cast<double>(process.threads));
    families.gauge("process_start_time_seconds", "When the process began, in seconds since 1970",
                   process.started_seconds);
    families.gauge("larder_start_time_seconds", "When the process began, in seconds since 1970",
                   static_cast<double>(extra.started.time_since_epoch().count()) / 1e3);
}

}  // namespace

std::string metrics_text(const std::vector<const Counters*>& workers, const config::Config& config,
                         const ExtraGauges& extra)
{
    Families families;
    add_plain_counters(families, workers);
    add_by_rule(families, sum_by_rule(workers, config));
    add_marked_passes(families, workers, config);
    add_by_word(families, workers);
    add_durations(families, workers, config);
    add_gauges(families, workers, config, extra);
    return families.text();
}

}  // namespace larder::proxy
