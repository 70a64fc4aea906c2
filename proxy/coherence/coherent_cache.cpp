#include "proxy/coherence/coherent_cache.hpp"

#include <map>

#include "proxy/coherence/write_id.hpp"
#include "proxy/net/clock.hpp"

namespace larder::proxy {

using rules::Errc;
using rules::NotStored;

namespace {

/// Lua's stack bounds the keys and patterns of one record (COHERENCE §2).
constexpr std::size_t record_targets_limit = 500;

/// One number per server run, the same for all workers: positions of different runs are not comparable.
std::uint32_t epoch_of(const std::string& run_id)
{
    static std::mutex mutex;
    static std::map<std::string, std::uint32_t> epochs;
    const std::lock_guard lock(mutex);
    return epochs.try_emplace(run_id, static_cast<std::uint32_t>(epochs.size()) + 1).first->second;
}

}  // namespace

void DeferredPurges::add(Record record)
{
    const std::lock_guard lock(mutex_);
    if (records_.size() >= most) {
        count_.fetch_sub(records_.size(), std::memory_order_release);
        records_.clear();
        record = Record{};
        record.patterns = {"*"};
    }
    records_.push_back(std::move(record));
    count_.fetch_add(1, std::memory_order_release);
}

std::optional<Record> DeferredPurges::take()
{
    const std::lock_guard lock(mutex_);
    if (records_.empty()) return std::nullopt;
    Record record = std::move(records_.front());
    records_.pop_front();
    return record;
}

void DeferredPurges::put_back(Record record)
{
    const std::lock_guard lock(mutex_);
    records_.push_front(std::move(record));
}

CoherentCache::CoherentCache(asio::io_context& context, MemoryStore& memory, PurgeLog& log, Store* store,
                             SharedLogState& process, Counters& counters, CacheOptions options)
    : context_(context),
      memory_(memory),
      log_(log),
      store_(store),
      process_(process),
      counters_(counters),
      options_(options)
{
}

bool CoherentCache::wants_tending() const noexcept
{
    if (embedded() || log_.connection() == 0) return false;
    return process_.deferred.count() != 0 || !replica_.ready() || connection_ != log_.connection();
}

bool CoherentCache::trusted() const noexcept
{
    return embedded() || (log_.connection() != 0 && process_.deferred.count() == 0);
}

Found CoherentCache::found_nothing(Found::Kind kind) const noexcept { return Found{kind, nullptr, token(), false}; }

/// A purge removes the entry, so that only the log's memory can tell why there is none.
Found CoherentCache::found_none(std::string_view key) const noexcept
{
    return found_nothing(replica_.remembers_purge(key) ? Found::Kind::purged : Found::Kind::none);
}

// --- the replica -----------------------------------------------------------------------------------------------------

bool CoherentCache::catch_up_here()
{
    if (replica_.ready() && *log_.position_here() == replica_.position()) return true;
    if (replica_.ready()) {
        if (const auto records = log_.records_here(replica_.position())) {
            for (const Record& record : *records) apply(record);
            if (replica_.ready()) return true;
        }
    }
    const auto snapshot = log_.snapshot_here();
    const bool is_first = replica_.run_id().empty();
    replica_.reset(*snapshot, instant_now());
    epoch_ = epoch_of(snapshot->run_id);
    counters_.add(Counter::log_resyncs);
    // Exact purges that nobody may have applied cannot be told from the snapshot, so what memory holds is not
    // provable. At the start there is nothing to doubt: what other workers have stored already is settled.
    if (!is_first) memory_.clear();
    return true;
}

void CoherentCache::apply(const Record& record)
{
    const Applied applied = replica_.apply(record, instant_now());
    if (applied == Applied::gap || record.type == RecordType::init) {
        replica_.lose();
        return;
    }
    if (applied == Applied::known) return;
    for (const std::string& key : record.keys) {
        const EntryPtr entry = memory_.find(key, wall_now());
        if (entry && entry->position.load(std::memory_order_relaxed) < record.position) memory_.erase(key);
    }
    count_replica();
}

void CoherentCache::count_replica()
{
    counters_.open_marks.store(static_cast<std::int64_t>(replica_.open_marks()), std::memory_order_relaxed);
    counters_.replica_patterns.store(static_cast<std::int64_t>(replica_.patterns_count()), std::memory_order_relaxed);
}

/// One at a time; the others wait for it and look again, however it ends.
class CoherentCache::Synchronising {
  public:
    explicit Synchronising(CoherentCache& cache) : cache_(cache) { cache_.synchronising_ = true; }
    ~Synchronising()
    {
        cache_.synchronising_ = false;
        const std::vector<WakeUp*> waiting = std::move(cache_.waiting_for_sync_);
        cache_.waiting_for_sync_.clear();
        for (WakeUp* waiter : waiting) waiter->wake();
    }
    Synchronising(const Synchronising&) = delete;
    Synchronising& operator=(const Synchronising&) = delete;

  private:
    CoherentCache& cache_;
};

asio::awaitable<bool> CoherentCache::synchronise(Position counter, std::uint64_t connection)
{
    if (counter == 0) {  // the log has lost its counter: whatever we know is of another life
        replica_.lose();
        counter = 1;
    }
    for (int tries = 0; tries < 5;) {
        if (connection == 0 || connection != log_.connection()) co_return false;
        if (replica_.ready() && connection_ == connection && replica_.position() >= counter) co_return true;
        if (synchronising_) {  // ends by the deadlines of the store's operations
            WakeUp done(context_);
            waiting_for_sync_.push_back(&done);
            co_await done.wait();
            continue;
        }
        ++tries;
        const Synchronising guard(*this);
        const bool ok = co_await catch_up_once(connection);
        if (!ok) co_return false;
    }
    co_return false;
}

asio::awaitable<bool> CoherentCache::catch_up_once(std::uint64_t connection)
{
    if (!replica_.ready() || connection_ != connection) {
        const rules::Result<LogSnapshot> snapshot = co_await log_.init();
        if (snapshot.has_error() || log_.connection() != connection) co_return false;
        replica_.reset(*snapshot, instant_now());
        connection_ = connection;
        epoch_ = epoch_of(snapshot->run_id);
        counters_.add(Counter::log_resyncs);
        count_replica();
        co_return true;
    }
    const rules::Result<std::vector<Record>> records = co_await log_.records_after(replica_.position());
    if (records.has_error() || log_.connection() != connection) co_return false;
    if (records->empty()) replica_.lose();  // the counter says there is more, the log does not have it: resync
    for (const Record& record : *records) {
        apply(record);
        if (!replica_.ready()) break;
    }
    co_return true;
}

// --- reads -----------------------------------------------------------------------------------------------------------

bool CoherentCache::behind_own_writes() const noexcept
{
    return !embedded() && replica_.position() < process_.newest_own.load(std::memory_order_acquire);
}

asio::awaitable<void> CoherentCache::see_own_writes()
{
    if (!behind_own_writes()) co_return;
    const std::uint64_t connection = log_.connection();
    if (connection == 0) co_return;
    const Position newest = process_.newest_own.load(std::memory_order_acquire);
    co_await synchronise(newest, connection);
}

bool CoherentCache::voided_since(std::string_view key, LogToken since)
{
    if (embedded()) catch_up_here();
    return !replica_.ready() || since.epoch != epoch_ || replica_.matched_since(key, since.position) != Since::clean;
}

Found CoherentCache::judge_memory(const EntryPtr& entry, std::string_view key)
{
    Found found{Found::Kind::none, nullptr, token(), true};
    if (entry->epoch != epoch_) return found;
    const Position held = entry->position.load(std::memory_order_acquire);
    if (held < replica_.position()) {
        Since since = replica_.matched_since(key, held);
        if (since == Since::unknown && entry->settled.load(std::memory_order_acquire))
            since = replica_.matched_pattern_since(key, held);
        if (since == Since::matched) {
            found.kind = Found::Kind::purged;
            memory_.erase(storage_key(entry->key, entry->variant));
        }
        if (since != Since::clean) return found;
        entry->position.store(replica_.position(), std::memory_order_release);
    }
    found.kind = Found::Kind::hit;
    found.entry = entry;
    return found;
}

std::optional<Found> CoherentCache::find_here(std::string_view key, std::string_view storage_key, rules::WallTime now)
{
    if (embedded()) {
        catch_up_here();
    } else {
        const bool fresh_look = options_.trust.count() > 0 && replica_.ready() && connection_ == log_.connection() &&
                                process_.deferred.count() == 0 && instant_now() - checked_ <= options_.trust &&
                                !behind_own_writes();
        if (!fresh_look) return std::nullopt;
    }
    if (replica_.open_marks() != 0 && replica_.marked(key, instant_now())) return found_nothing(Found::Kind::marked);
    const EntryPtr entry = memory_.find(storage_key, now);
    if (entry) {
        Found found = judge_memory(entry, key);
        if (found.kind == Found::Kind::hit || embedded()) return found;
        return std::nullopt;
    }
    if (embedded()) return found_none(key);
    return std::nullopt;
}

asio::awaitable<Found> CoherentCache::find(const std::string& key, const std::string& variant, rules::WallTime now)
{
    const std::string stored_as = storage_key(key, variant);
    if (auto here = find_here(key, stored_as, now)) co_return std::move(*here);
    // A queue to be replayed or a whole log to be read first may take long: housekeeping does it, requests pass by.
    if (!trusted() || wants_tending()) co_return found_nothing(Found::Kind::away);

    EntryPtr entry = memory_.find(stored_as, now);
    if (entry && entry->epoch == epoch_) {
        const std::uint64_t connection = log_.connection();
        const rules::Instant sent = instant_now();
        const rules::Result<Position> counter = co_await log_.look();
        if (counter.has_error()) co_return found_nothing(Found::Kind::away);
        const bool known = co_await synchronise(*counter, connection);
        if (!known) co_return found_nothing(Found::Kind::away);
        checked_ = sent;
        if (replica_.marked(key, instant_now())) co_return found_nothing(Found::Kind::marked);
        Found found = judge_memory(entry, key);
        if (found.kind == Found::Kind::hit) co_return found;
    }

    counters_.add(Counter::store_gets);
    const rules::Result<StoreRead> read = co_await store_->get(key, variant);
    if (read.has_error()) co_return found_nothing(Found::Kind::away);
    const bool known = co_await synchronise(read->counter, read->connection);
    if (!known) co_return found_nothing(Found::Kind::away);
    checked_ = read->sent;
    if (replica_.marked(key, instant_now())) co_return found_nothing(Found::Kind::marked);
    if (!read->entry) co_return found_none(key);
    const Position held = read->entry->position.load(std::memory_order_relaxed);
    // Exact purges have removed the entry itself; patterns and the floor are held against its number.
    if (replica_.matched_pattern_since(key, held) != Since::clean) co_return found_nothing(Found::Kind::purged);
    read->entry->epoch = epoch_;
    const bool insert = replica_.matched_since(key, read->counter) == Since::clean;
    if (insert) {
        read->entry->position.store(replica_.position(), std::memory_order_relaxed);
        insert_memory(read->entry, now);
    }
    Found found{Found::Kind::hit, read->entry, token(), false};
    co_return found;
}

// --- stores ----------------------------------------------------------------------------------------------------------

void CoherentCache::insert_memory(EntryPtr entry, rules::WallTime now)
{
    const std::string stored_as = storage_key(entry->key, entry->variant);
    if (!memory_.insert(entry, now) || !embedded()) return;
    // A purge applied by another worker between our check and the insert had nothing to remove: check once more now
    // that the entry can be seen. From here on whoever applies an exact purge removes it.
    catch_up_here();
    if (replica_.matched_since(entry->key, entry->position.load(std::memory_order_relaxed)) == Since::clean)
        entry->settled.store(true, std::memory_order_release);
    else
        memory_.erase(stored_as);
}

asio::awaitable<NotStored> CoherentCache::store(std::shared_ptr<Entry> entry, LogToken token)
{
    const rules::WallTime now = wall_now();
    if (embedded()) {
        if (voided_since(entry->key, token)) co_return NotStored::fenced;
        entry->epoch = epoch_;
        entry->position.store(replica_.position(), std::memory_order_relaxed);
        insert_memory(std::move(entry), now);
        co_return NotStored::none;
    }
    if (!trusted() || !replica_.ready()) co_return NotStored::store_failed;
    if (voided_since(entry->key, token)) co_return NotStored::fenced;
    counters_.add(Counter::store_puts);
    const std::uint64_t connection = connection_;
    const std::uint32_t epoch = epoch_;
    const StoreWrite written = co_await store_->put(entry, replica_.position());
    if (written.refused != NotStored::none) co_return written.refused;
    if (connection != connection_ || !replica_.ready()) co_return NotStored::none;
    if (replica_.matched_since(entry->key, written.position) == Since::clean) {
        entry->epoch = epoch;
        entry->position.store(written.position, std::memory_order_relaxed);
        insert_memory(std::move(entry), now);
    }
    co_return NotStored::none;
}

// --- writes ----------------------------------------------------------------------------------------------------------

std::vector<Record> CoherentCache::records_of(const WritePurge& write, RecordType type, rules::Milliseconds life)
{
    std::vector<Record> records(1);
    std::size_t count = 0;
    for (const rules::PurgeTarget& target : write.targets) {
        if (++count > record_targets_limit) {
            records.emplace_back();
            count = 1;
        }
        (target.exact ? records.back().keys : records.back().patterns).push_back(target.text);
    }
    std::size_t n = 0;
    for (Record& record : records) {
        record.type = type;
        record.life = life;
        if (type != RecordType::single) {
            record.write_id = write.write_id;
            if (++n > 1) record.write_id += '.' + std::to_string(n);
        }
    }
    return records;
}

asio::awaitable<Errc> CoherentCache::append(Record record, WritePurge& write)
{
    counters_.add(Counter::purge_records);
    if (const auto here = log_.append_here(record)) {
        write.positions.push_back(here->position);
        catch_up_here();
        co_return Errc::ok;
    }
    const std::uint64_t connection = log_.connection();
    const rules::Result<Appended> appended = co_await log_.append(record);
    if (appended.has_error()) co_return appended.error();
    write.positions.push_back(appended->position);
    Position newest = process_.newest_own.load(std::memory_order_relaxed);
    while (newest < appended->position &&
           !process_.newest_own.compare_exchange_weak(newest, appended->position, std::memory_order_acq_rel)) {}
    // Our own record is applied before anybody is answered.
    if (replica_.ready() && connection_ == connection && appended->previous == replica_.position()) {
        record.previous = appended->previous;
        record.position = appended->position;
        apply(record);
    }
    const bool known = co_await synchronise(appended->position, connection);
    // The log has it; a replica that could not follow trusts nothing until it has caught up.
    if (!known) replica_.lose();
    co_return Errc::ok;
}

asio::awaitable<Errc> CoherentCache::prepare(WritePurge& write)
{
    write.write_id = next_write_id();
    write.prepared_at = instant_now();
    const std::vector<Record> records = records_of(write, RecordType::prepare, options_.mark_life);
    for (const Record& record : records) {
        const Errc error = co_await append(record, write);
        if (error != Errc::ok) co_return error;
    }
    write.prepared = true;
    co_return Errc::ok;
}

asio::awaitable<Errc> CoherentCache::commit(WritePurge& write)
{
    if (write.targets.empty()) co_return Errc::ok;
    // After a PREPARE that failed half-way a mark may be open: its commit closes it.
    const bool marked = !write.write_id.empty();
    const std::vector<Record> records =
        records_of(write, marked ? RecordType::commit : RecordType::single, write.settle);
    Errc result = Errc::ok;
    for (const Record& record : records) {
        const Errc error = co_await append(record, write);
        if (error == Errc::ok) continue;
        result = error;
        counters_.add(Counter::purge_deferred);
        process_.deferred.add(record);
    }
    co_return result;
}

asio::awaitable<bool> CoherentCache::replay_deferred()
{
    while (auto record = process_.deferred.take()) {
        const rules::Result<Appended> appended = co_await log_.append(*record);
        if (appended.has_error()) {
            process_.deferred.put_back(std::move(*record));
            co_return false;
        }
        process_.deferred.done();
        counters_.add(Counter::purge_replayed);
    }
    co_return process_.deferred.count() == 0;
}

asio::awaitable<void> CoherentCache::tend()
{
    if (embedded()) {
        catch_up_here();
        replica_.marked("", instant_now());
        count_replica();
        co_return;
    }
    const std::uint64_t connection = log_.connection();
    if (connection == 0) co_return;
    const rules::Instant sent = instant_now();
    const rules::Result<Position> counter = co_await log_.look();
    if (counter.has_error()) co_return;
    const bool known = co_await synchronise(*counter, connection);
    if (!known) co_return;
    checked_ = sent;
    co_await replay_deferred();
    replica_.marked("", instant_now());
    count_replica();
}

}  // namespace larder::proxy
