#include "proxy/coherence/coherent_cache.hpp"

#include <atomic>

#include "proxy/coherence/guards.hpp"
#include "proxy/coherence/log_names.hpp"
#include "proxy/coherence/write_id.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/net/run_all.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/redis/keyspace.hpp"
#include "rules/pattern/pattern.hpp"

namespace larder::proxy {

using rules::Errc;
using rules::Milliseconds;
using rules::NotStored;

namespace {

/// Lua's stack bounds the keys and patterns of one record (COHERENCE §2).
constexpr std::size_t record_targets_limit = 500;

void note_widened(Counters& counters, const std::string& rule, const std::string& pattern)
{
    counters.add(Counter::purge_patterns_widened);
    static std::atomic<std::int64_t> logged{0};
    const std::int64_t now = std::chrono::duration_cast<rules::Seconds>(instant_now().time_since_epoch()).count();
    std::int64_t last = logged.load(std::memory_order_relaxed);
    constexpr std::int64_t every_seconds = 10;
    if (now - last < every_seconds || !logged.compare_exchange_strong(last, now)) return;
    constexpr std::size_t shown_bytes = 80;
    log_event(config::LogLevel::warn,
              "a purge pattern is longer than 1 KiB: a shorter one, which purges more, takes its place",
              {{"rule", std::string_view(rule)}, {"begins", std::string_view(pattern).substr(0, shown_bytes)}});
}

}  // namespace

/// What one shard has to do with a write.
struct CoherentCache::Part {
    Shard* shard;
    std::vector<Record> records;
    Errc error = Errc::store_refused;  // until it has ended
    std::vector<Position> positions{};
};

CoherentCache::CoherentCache(Tasks& tasks, MemoryStore& memory, const std::vector<ShardLink>& shards,
                             SharedLogState& process, Counters& counters, CacheOptions options)
    : tasks_(tasks),
      memory_(memory),
      counters_(counters),
      embedded_(shards.front().store == nullptr),
      options_(std::move(options))
{
    for (const ShardLink& link : shards)
        shards_.push_back(std::make_unique<Shard>(tasks.context(), memory, link.log, link.store, process,
                                                  shards_.size(), counters, options_));
}

std::size_t CoherentCache::index_of(std::string_view key) const noexcept
{
    return Keyspace::shard_of(key, shards_.size());
}

bool CoherentCache::trusted() const noexcept
{
    return std::all_of(shards_.begin(), shards_.end(), [](const auto& shard) { return shard->trusted(); });
}

bool CoherentCache::trusted(const std::vector<rules::PurgeTarget>& targets) const noexcept
{
    return std::all_of(targets.begin(), targets.end(), [this](const rules::PurgeTarget& target) {
        return target.exact ? shard_of(target.text).trusted() : trusted();
    });
}

bool CoherentCache::wants_tending() const noexcept
{
    return std::any_of(shards_.begin(), shards_.end(), [](const auto& shard) { return shard->wants_tending(); });
}

// --- reads and stores ------------------------------------------------------------------------------------------------

asio::awaitable<Found> CoherentCache::find(const std::string& key, const std::string& variant, rules::WallTime now)
{
    Shard& shard = shard_of(key);
    if (shard.wants_tending() && wants_tending_hook_) wants_tending_hook_();
    return shard.find(key, variant, now);
}

asio::awaitable<Found> CoherentCache::ask(const std::string& key, const std::string& variant,
                                          const std::string& storage_key, rules::WallTime now)
{
    Shard& shard = shard_of(key);
    if (shard.wants_tending() && wants_tending_hook_) wants_tending_hook_();
    return shard.ask(key, variant, storage_key, now);
}

asio::awaitable<NotStored> CoherentCache::store(std::shared_ptr<Entry> entry, LogToken token, FillLease* lease)
{
    Shard& shard = shard_of(entry->key);
    return shard.store(std::move(entry), token, lease);
}

bool CoherentCache::begin_store(std::shared_ptr<Entry> entry, LogToken token, FillLease& lease,
                                Completion<NotStored>& done)
{
    Shard& shard = shard_of(entry->key);
    return shard.begin_store(std::move(entry), token, lease, done);
}

NotStored CoherentCache::store_here(std::shared_ptr<Entry> entry, LogToken token)
{
    Shard& shard = shard_of(entry->key);
    return shard.store_here(std::move(entry), token);
}

asio::awaitable<void> CoherentCache::release_all()
{
    for (const auto& shard : shards_) co_await shard->release_all();
}

// --- writes ----------------------------------------------------------------------------------------------------------

/// An exact target goes to the shard of its key, a pattern to every shard. Each shard's records are cut in the same
/// places every time, so that a COMMIT closes the mark of its PREPARE.
std::vector<CoherentCache::Part> CoherentCache::parts_of(const WritePurge& write, RecordType type,
                                                         Milliseconds life) const
{
    std::vector<std::vector<Record>> records(shards_.size());
    std::vector<std::size_t> counts(shards_.size(), record_targets_limit);
    const auto add = [&](std::size_t shard, bool exact, const std::string& text) {
        if (++counts[shard] > record_targets_limit) {
            Record record;
            record.type = type;
            record.life = life;
            if (type != RecordType::single) {
                record.write_id = write.write_id;
                if (!records[shard].empty())
                    record.write_id = write_id_of_part(write.write_id, records[shard].size() + 1);
            }
            records[shard].push_back(std::move(record));
            counts[shard] = 1;
        }
        Record& record = records[shard].back();
        (exact ? record.keys : record.patterns).push_back(text);
    };
    for (const rules::PurgeTarget& target : write.targets) {
        if (target.exact) {
            add(index_of(target.text), true, key_in_log(target.text));
            continue;
        }
        const std::string pattern = pattern_in_log(target.text);
        if (pattern != target.text && !rules::is_exact(target.text)) note_widened(counters_, write.rule, pattern);
        for (std::size_t shard = 0; shard < shards_.size(); ++shard) add(shard, false, pattern);
    }
    std::vector<Part> parts;
    for (std::size_t shard = 0; shard < shards_.size(); ++shard)
        if (!records[shard].empty()) parts.push_back({shards_[shard].get(), std::move(records[shard])});
    return parts;
}

asio::awaitable<void> CoherentCache::run_prepare(Part& part)
{
    for (const Record& record : part.records) {
        const rules::Result<Position> appended = co_await part.shard->append(record);
        part.error = appended.has_error() ? appended.error() : Errc::ok;
        if (appended.has_error()) co_return;
        part.positions.push_back(*appended);
    }
}

asio::awaitable<void> CoherentCache::run_commit(Part& part, rules::Instant until)
{
    part.error = Errc::ok;
    for (Record& record : part.records) {
        Errc error = Errc::store_timeout;
        if (instant_now() < until) {
            const rules::Result<Position> appended = co_await part.shard->append(record);
            error = appended.has_error() ? appended.error() : Errc::ok;
            if (error == Errc::ok) part.positions.push_back(*appended);
        }
        if (error == Errc::ok) continue;
        part.error = error;
        part.shard->defer(std::move(record));
    }
}

asio::awaitable<void> CoherentCache::run_withdraw(Part& part)
{
    for (const Record& record : part.records) {
        const rules::Result<Position> appended = co_await part.shard->append(record);
        if (appended.has_error()) co_return;
    }
}

asio::awaitable<Errc> CoherentCache::prepare(WritePurge& write)
{
    if (!guarded(Guard::prepare)) co_return Errc::ok;
    if (write.write_id.empty()) write.write_id = next_write_id(write.rule);
    write.prepared_at = instant_now();
    std::vector<Part> parts = parts_of(write, RecordType::prepare, options_.mark_life);
    std::vector<asio::awaitable<void>> running;
    for (Part& part : parts) running.push_back(run_prepare(part));
    co_await run_all(tasks_, "prepare", std::move(running));
    Errc result = Errc::ok;
    for (const Part& part : parts) {
        if (result == Errc::ok) result = part.error;
        write.positions.insert(write.positions.end(), part.positions.begin(), part.positions.end());
    }
    write.prepared = result == Errc::ok;
    if (write.prepared) write.marked_count = write.targets.size();
    co_return result;
}

asio::awaitable<Errc> CoherentCache::commit(WritePurge& write)
{
    if (write.targets.empty() || !guarded(Guard::commit)) co_return Errc::ok;
    // After a PREPARE that failed half-way marks may be open: its commit closes them.
    const bool may_be_marked = !write.write_id.empty();
    std::vector<Part> parts = parts_of(write, may_be_marked ? RecordType::commit : RecordType::single, write.settle);
    const rules::Instant until = instant_now() + options_.commit_wait;
    std::vector<asio::awaitable<void>> running;
    for (Part& part : parts) running.push_back(run_commit(part, until));
    co_await run_all(tasks_, "commit", std::move(running));
    Errc result = Errc::ok;
    for (const Part& part : parts) {
        if (result == Errc::ok) result = part.error;
        write.positions.insert(write.positions.end(), part.positions.begin(), part.positions.end());
    }
    co_return result;
}

asio::awaitable<void> CoherentCache::withdraw(WritePurge& write)
{
    if (write.targets.empty() || write.write_id.empty()) co_return;
    std::vector<Part> parts = parts_of(write, RecordType::commit, Milliseconds{0});
    std::vector<asio::awaitable<void>> running;
    for (Part& part : parts) running.push_back(run_withdraw(part));
    co_await run_all(tasks_, "withdraw", std::move(running));
}

bool CoherentCache::fenced(const WritePurge& write) const noexcept
{
    return write.prepared && write.marked_count == write.targets.size() &&
           instant_now() < write.prepared_at + options_.mark_life;
}

// --- housekeeping ----------------------------------------------------------------------------------------------------

asio::awaitable<void> CoherentCache::tend()
{
    std::vector<asio::awaitable<void>> running;
    for (const auto& shard : shards_) running.push_back(shard->tend());
    co_await run_all(tasks_, "housekeeping of a shard", std::move(running));
}

Milliseconds CoherentCache::tending_pause() const noexcept
{
    constexpr Milliseconds usual{1'000}, urgent{20}, longest_look{250};
    if (wants_tending()) return urgent;
    // Bounded: looks go out by themselves while there is something in memory that they keep usable.
    const bool looks = !embedded_ && options_.trust.count() > 0 && memory_.stats().entries != 0;
    return looks ? std::clamp(options_.trust / 2, urgent, longest_look) : usual;
}

}  // namespace larder::proxy
