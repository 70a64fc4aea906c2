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
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const bool named = i + 1 < rows.size() && i < config.rules.size() && !config.rules[i].name.empty();
            RuleSums& to = sums[named ? config.rules[i].name : "none"];
            add(to, to.verdicts, rows[i].verdicts);
            add(to, to.forwards, rows[i].forwards);
            add(to, to.not_stored, rows[i].not_stored);
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
    const auto add_reasons = [&](MetricFamily& family, auto reason_of, auto totals_of) {
        for (const auto& [rule, row] : sums) {
            const auto& totals = totals_of(row);
            for (std::size_t i = 0; i < totals.size(); ++i)
                if (totals[i] != 0)
                    Families::add(family, {{"rule", rule}, {"reason", std::string{word(reason_of(i))}}},
                                  static_cast<double>(totals[i]));
        }
    };
    add_reasons(
        families.begin("larder_forwards_total", "Exchanges not answered from the cache, by rule and reason",
                       MetricType::Counter),
        [](std::size_t i) { return static_cast<rules::Forward>(i); },
        [](const RuleSums& row) -> const auto& { return row.forwards; });
    add_reasons(
        families.begin("larder_not_stored_total", "Responses that were not stored, by rule and reason",
                       MetricType::Counter),
        [](std::size_t i) { return static_cast<rules::NotStored>(i); },
        [](const RuleSums& row) -> const auto& { return row.not_stored; });
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
    for (const rules::Rule& rule : config.rules)
        if (rule.is_purge()) Families::add(family, {{"rule", rule.name}}, passes(rule.index));
    // Of replicas with another configuration.
    Families::add(family, {{"rule", "other"}}, passes(config.rules.size()));
}

void add_by_word(Families& families, const Workers& workers)
{
    auto& outcomes = families.begin("larder_outcomes_total", "Exchanges by outcome", MetricType::Counter);
    for (std::size_t i = 0; i < rules::outcomes_count; ++i)
        Families::add(outcomes, {{"outcome", std::string{word(static_cast<rules::Outcome>(i))}}},
                      static_cast<double>(sum(
                          workers, [i](const auto& cells) -> auto& { return cells.outcomes[i]; })));

    auto& classes =
        families.begin("larder_responses_total", "Responses sent to clients by status class", MetricType::Counter);
    for (std::size_t i = 0; i < classes_count; ++i)
        Families::add(classes, {{"class", i == 0 ? "none" : std::to_string(i) + "xx"}},
                      static_cast<double>(sum(
                          workers, [i](const auto& cells) -> auto& { return cells.classes[i]; })));

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

void add_durations(Families& families, const Workers& workers)
{
    auto& family =
        families.begin("larder_request_duration_seconds",
                       "From the request's head to the response's last byte, by verdict", MetricType::Histogram);
    for (std::size_t verdict = 0; verdict < verdicts_count; ++verdict) {
        ClientMetric metric;
        metric.label = {{"verdict", std::string{word(static_cast<rules::Verdict>(verdict))}}};
        std::uint64_t count = 0;
        for (std::size_t i = 0; i <= duration_bounds.size(); ++i) {
            count += sum(
                workers, [&](const auto& cells) -> auto& { return cells.durations[verdict].buckets[i]; });
            if (i < duration_bounds.size())
                metric.histogram.bucket.push_back({count, static_cast<double>(duration_bounds[i].count()) / 1e6});
        }
        // The count is that of the buckets, whatever the workers add meanwhile: the two must never disagree.
        metric.histogram.sample_count = count;
        metric.histogram.sample_sum =
            static_cast<double>(sum(
                workers, [&](const auto& cells) -> auto& { return cells.durations[verdict].sum_nanoseconds; })) /
            1e9;
        family.metric.push_back(std::move(metric));
    }
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

    Families::add(families.begin("larder_build_info", "Always 1; the version is in the label", MetricType::Gauge),
                  {{"version", LARDER_VERSION}}, 1);
    families.gauge("larder_workers", "Worker threads", static_cast<double>(workers.size()));
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
    add_durations(families, workers);
    add_gauges(families, workers, config, extra);
    return families.text();
}

}  // namespace larder::proxy
