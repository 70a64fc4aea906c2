#include "proxy/coherence/shard.hpp"

#include <map>

#include "proxy/coherence/guards.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/observe/log.hpp"

namespace larder::proxy {

using rules::Errc;

namespace {

constexpr std::size_t exact_keys_limit = 65'536;  // that a worker remembers, in all its shards

/// One number per server run, the same for all workers: positions of different runs are not comparable.
std::uint32_t epoch_of(const std::string& run_id)
{
    static std::mutex mutex;
    static std::map<std::string, std::uint32_t> epochs;
    const std::lock_guard lock(mutex);
    return epochs.try_emplace(run_id, static_cast<std::uint32_t>(epochs.size()) + 1).first->second;
}

}  // namespace

Shard::Shard(asio::io_context& context, MemoryStore& memory, PurgeLog& log, Store* store, SharedLogState& process,
             std::size_t index, Counters& counters, const CacheOptions& options)
    : context_(context),
      memory_(memory),
      log_(log),
      store_(store),
      process_(process),
      index_(index),
      counters_(counters),
      options_(options),
      blocks_(Blocks::of(context)),
      replica_(exact_keys_limit / process.shards_count())
{
}

bool Shard::wants_tending() const noexcept
{
    if (embedded() || log_.connection() == 0 || process_.foreign()) return false;
    return !is_up_to_date();
}

bool Shard::is_up_to_date() const noexcept
{
    return connection_ == log_.connection() && shared().deferred.count() == 0 && replica_.ready();
}

bool Shard::trusted() const noexcept
{
    if (embedded()) return true;
    const bool replayed = shared().deferred.count() == 0 || !guarded(Guard::replay);
    return log_.connection() != 0 && replayed && !process_.foreign();
}

Found Shard::found_nothing(Found::Kind kind) const noexcept { return Found{kind, nullptr, token(), false}; }

/// A purge removes the entry, so that only the log's memory can tell why there is none.
Found Shard::found_none(std::string_view key) const noexcept
{
    return found_nothing(replica_.remembers_purge(key) ? Found::Kind::purged : Found::Kind::none);
}

// --- the replica -----------------------------------------------------------------------------------------------------

void Shard::catch_up_here()
{
    if (replica_.ready() && *log_.position_here() == replica_.position()) return;
    if (replica_.ready()) {
        if (const auto records = log_.records_here(replica_.position())) {
            for (const Record& record : *records) apply(record);
            if (replica_.ready()) return;
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
}

void Shard::apply(const Record& record)
{
    const Applied applied = replica_.apply(record, instant_now());
    if (applied == Applied::gap) {
        replica_.lose();
        return;
    }
    if (applied == Applied::known) return;
    // One that is named by a digest is found to be void when it is asked for: `insert_memory` sees to it.
    for (const std::string& key : record.keys) {
        const EntryPtr entry = memory_.find(key, wall_now());
        if (entry && entry->position.load(std::memory_order_relaxed) < record.position) memory_.erase(key);
    }
    count_replica();
}

// Gauges are the sum over a worker's shards; each adds what has changed in its own part.
void Shard::count_replica()
{
    const auto marks = static_cast<std::int64_t>(replica_.open_marks());
    const auto patterns = static_cast<std::int64_t>(replica_.patterns_count());
    if (marks != marks_counted_) counters_.open_marks.fetch_add(marks - marks_counted_, std::memory_order_relaxed);
    if (patterns != patterns_counted_)
        counters_.replica_patterns.fetch_add(patterns - patterns_counted_, std::memory_order_relaxed);
    marks_counted_ = marks;
    patterns_counted_ = patterns;
    if (const std::uint64_t overflows = replica_.take_overflows())
        counters_.add(Counter::log_pattern_overflows, overflows);
}

/// One at a time; the others wait for it and look again, however it ends.
class Shard::Synchronising {
  public:
    explicit Synchronising(Shard& shard) : shard_(shard) { shard_.synchronising_ = true; }
    ~Synchronising()
    {
        shard_.synchronising_ = false;
        const std::vector<WakeUp*> waiting = std::move(shard_.waiting_for_sync_);
        shard_.waiting_for_sync_.clear();
        for (WakeUp* waiter : waiting) waiter->wake();
    }
    Synchronising(const Synchronising&) = delete;
    Synchronising& operator=(const Synchronising&) = delete;

  private:
    Shard& shard_;
};

/// The usual case of `synchronise`: there is nothing to learn.
bool Shard::knows(Position counter, std::uint64_t connection) const noexcept
{
    return counter != 0 && connection != 0 && connection == log_.connection() && replica_.ready() &&
           connection_ == connection && replica_.position() >= counter;
}

asio::awaitable<bool> Shard::synchronise(Position counter, std::uint64_t connection)
{
    if (counter == 0) {  // the log has lost its counter: whatever we know is of another life
        if (guarded(Guard::chain)) replica_.lose();
        counter = 1;
    }
    for (int tries = 0; tries < 5;) {
        if (connection == 0 || connection != log_.connection()) co_return false;
        if (knows(counter, connection)) co_return true;
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

asio::awaitable<bool> Shard::catch_up_once(std::uint64_t connection)
{
    if (!replica_.ready() || connection_ != connection) {
        const rules::Result<LogSnapshot> snapshot = co_await log_.init();
        note_layout(snapshot.has_error() ? snapshot.error() : Errc::ok);
        if (snapshot.has_error() || log_.connection() != connection) co_return false;
        replica_.reset(*snapshot, instant_now());
        connection_ = connection;
        epoch_ = epoch_of(snapshot->run_id);
        counters_.add(Counter::log_resyncs);
        if (snapshot->raised) counters_.add(Counter::log_floor_raises);
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

// Logged once for each change, counted each time that the store is refused for it.
void Shard::note_layout(Errc error)
{
    if (error != Errc::ok && error != Errc::store_layout) return;
    const bool foreign = error == Errc::store_layout;
    if (foreign) counters_.add(Counter::store_layouts_refused);
    if (!process_.note_foreign(index_, foreign)) return;
    if (foreign) {
        log_event(config::LogLevel::error, "store is laid out for another number of shards: it is not used",
                  {{"shards", static_cast<std::int64_t>(process_.shards_count())},
                   {"remedy", std::string_view("give this deployment a namespace of its own, or restart all of its "
                                               "processes with the same kind of store")}});
    } else {
        log_event(config::LogLevel::info, "store is laid out as this process expects",
                  {{"shards", static_cast<std::int64_t>(process_.shards_count())}});
    }
}

// --- reads -----------------------------------------------------------------------------------------------------------

bool Shard::behind_own_writes() const noexcept
{
    return !embedded() && guarded(Guard::own_writes) &&
           replica_.position() < shared().newest_own.load(std::memory_order_acquire);
}

asio::awaitable<void> Shard::see_own_writes()
{
    if (!behind_own_writes()) co_return;
    const std::uint64_t connection = log_.connection();
    if (connection == 0) co_return;
    const Position newest = shared().newest_own.load(std::memory_order_acquire);
    co_await synchronise(newest, connection);
}

bool Shard::voided_since(std::string_view key, LogToken since)
{
    if (embedded()) catch_up_here();
    return !replica_.ready() || since.epoch != epoch_ || replica_.matched_since(key, since.position) != Since::clean;
}

bool Shard::voided_since(const Entry& entry, LogToken since)
{
    return voided_since(entry.key, since) || any_group_matched_since(entry, since.position);
}

bool Shard::any_matched_since(const std::vector<std::string>& groups, Position since) const noexcept
{
    return std::any_of(groups.begin(), groups.end(), [&](const std::string& group) {
        return replica_.matched_group_since(group, since) != Since::clean;
    });
}

Since Shard::matched_since(const Entry& entry, Position since) const noexcept
{
    return any_group_matched_since(entry, since) ? Since::matched : replica_.matched_since(entry.key, since);
}

Since Shard::matched_pattern_since(const Entry& entry, Position since) const noexcept
{
    return any_group_matched_since(entry, since) ? Since::matched : replica_.matched_pattern_since(entry.key, since);
}

std::optional<Found> Shard::found_marked(std::string_view key) noexcept
{
    if (replica_.open_marks() == 0 || !guarded(Guard::marks)) return std::nullopt;
    const auto rule = replica_.marked(key, instant_now());
    if (!rule) return std::nullopt;
    Found found = found_nothing(Found::Kind::marked);
    if (const auto known = options_.purge_rules.find(*rule); known != options_.purge_rules.end())
        found.mark_rule = known->second;
    return found;
}

Found Shard::judge_memory(EntryPtr entry)
{
    Found found{Found::Kind::none, nullptr, token(), true};
    if (entry->epoch != epoch_) return found;
    const Position held = entry->position.load(std::memory_order_acquire);
    if (held < replica_.position() && guarded(Guard::memory_check)) {
        Since since = matched_since(*entry, held);
        if (since == Since::unknown && entry->settled.load(std::memory_order_acquire))
            since = matched_pattern_since(*entry, held);
        if (since == Since::matched) {
            found.kind = Found::Kind::purged;
            memory_.erase(storage_key(entry->key, entry->variant));
        }
        if (since != Since::clean) return found;
        entry->position.store(replica_.position(), std::memory_order_release);
    }
    found.kind = Found::Kind::hit;
    found.entry = std::move(entry);
    return found;
}

std::optional<Found> Shard::find_here(std::string_view key, std::string_view storage_key, rules::WallTime now)
{
    if (embedded()) {
        catch_up_here();
    } else {
        if (!may_know_here(options_)) return std::nullopt;
        const bool look_holds = instant_now() - checked_ <= options_.trust || !guarded(Guard::validate_memory);
        if (!look_holds || !trusted() || !replica_.ready() || connection_ != log_.connection() || behind_own_writes())
            return std::nullopt;
    }
    if (auto found = found_marked(key)) return found;
    // Counted once on its way to the answer: the count is a line that all threads share.
    if (EntryPtr entry = memory_.find(storage_key, now)) {
        Found found = judge_memory(std::move(entry));
        if (found.kind == Found::Kind::hit || embedded()) return found;
        return std::nullopt;
    }
    if (embedded()) return found_none(key);
    return std::nullopt;
}

asio::awaitable<Found> Shard::find(const std::string& key, const std::string& variant, rules::WallTime now)
{
    const std::string stored_as = storage_key(key, variant);
    if (auto here = find_here(key, stored_as, now)) co_return std::move(*here);
    co_return co_await ask(key, variant, stored_as, now);
}

asio::awaitable<Found> Shard::ask(const std::string& key, const std::string& variant, const std::string& storage_key,
                                  rules::WallTime now)
{
    if (EntryPtr entry = memory_.find(storage_key, now); entry && entry->epoch == epoch_)
        return check(key, variant, std::move(entry), now);
    return find_in_store(key, variant, now);
}

/// Serves what memory has if a look at the log allows it, else asks the store.
asio::awaitable<Found> Shard::check(const std::string& key, const std::string& variant, EntryPtr entry,
                                    rules::WallTime now)
{
    // A queue to be replayed or a whole log to be read first may take long: housekeeping does it, requests pass by.
    if (!trusted() || (wants_tending() && guarded(Guard::replay))) co_return found_nothing(Found::Kind::away);
    const std::uint64_t connection = log_.connection();
    const rules::Instant sent = instant_now();
    const rules::Result<Position> counter = co_await log_.look();
    if (counter.has_error()) co_return found_nothing(Found::Kind::away);
    bool known = knows(*counter, connection);
    if (!known) known = co_await synchronise(*counter, connection);
    if (!known) co_return found_nothing(Found::Kind::away);
    note_look(sent);
    if (auto marked = found_marked(key)) co_return std::move(*marked);
    Found found = judge_memory(std::move(entry));
    if (found.kind == Found::Kind::hit) co_return found;
    co_return co_await find_in_store(key, variant, now);
}

asio::awaitable<Found> Shard::find_in_store(const std::string& key, const std::string& variant, rules::WallTime now)
{
    if (!trusted() || (wants_tending() && guarded(Guard::replay))) co_return found_nothing(Found::Kind::away);
    rules::Result<StoreRead> read = co_await store_->get(key, variant);
    if (read.has_error()) co_return found_nothing(Found::Kind::away);
    if (guarded(Guard::validate_read) || !replica_.ready()) {
        bool known = knows(read->counter, read->connection);
        if (!known) known = co_await synchronise(read->counter, read->connection);
        if (!known) co_return found_nothing(Found::Kind::away);
        note_look(read->sent);
    }
    co_return judge_read(std::move(*read), key, now);
}

/// What the store had, once everything is known that the log had at that moment.
Found Shard::judge_read(StoreRead&& read, std::string_view key, rules::WallTime now)
{
    if (auto marked = found_marked(key)) return std::move(*marked);
    if (!read.entry) return found_none(key);
    const Position held = read.entry->position.load(std::memory_order_relaxed);
    // Exact purges have removed the entry itself; patterns and the floor are held against its number.
    if (matched_pattern_since(*read.entry, held) != Since::clean && guarded(Guard::pattern_check)) {
        Found found = found_nothing(Found::Kind::purged);
        found.voided = read.entry->times.stored;
        return found;
    }
    read.entry->epoch = epoch_;
    // It may be served: its request is older than what came since. It must not be kept.
    const bool insert = matched_since(*read.entry, read.counter) == Since::clean || !guarded(Guard::watch);
    if (insert) {
        read.entry->position.store(replica_.position(), std::memory_order_relaxed);
        insert_memory(read.entry, now);
    }
    return Found{Found::Kind::hit, std::move(read.entry), token(), false};
}

/// `ask` without a coroutine, as far as nothing has to be learnt of the log: the usual case.
class Shard::Lookup final : public Completion<rules::Result<Position>>, public Completion<rules::Result<StoreRead>> {
  public:
    Lookup(Shard& shard, const std::string& key, rules::WallTime now, Completion<std::optional<Found>>& done)
        : shard_(shard), blocks_(shard.blocks_), key_(key), now_(now), done_(done)
    {
    }

    bool begin_look(EntryPtr entry)
    {
        entry_ = std::move(entry);
        connection_ = shard_.log_.connection();
        sent_ = instant_now();
        return shard_.log_.begin_look(*this);
    }
    bool begin_get(const std::string& variant) { return shard_.store_->begin_get(key_, variant, *this); }

    void complete(rules::Result<Position>&& counter) override
    {
        if (counter.has_error()) return end(shard_.found_nothing(Found::Kind::away));
        if (!shard_.knows(*counter, connection_)) return end(std::nullopt);
        shard_.note_look(sent_);
        if (auto marked = shard_.found_marked(key_)) return end(std::move(marked));
        Found found = shard_.judge_memory(std::move(entry_));
        if (found.kind != Found::Kind::hit) return end(std::nullopt);
        end(std::move(found));
    }
    void complete(rules::Result<StoreRead>&& read) override
    {
        if (read.has_error()) return end(shard_.found_nothing(Found::Kind::away));
        if (guarded(Guard::validate_read) || !shard_.replica_.ready()) {
            if (!shard_.knows(read->counter, read->connection)) return end(std::nullopt);
            shard_.note_look(read->sent);
        }
        end(shard_.judge_read(std::move(*read), key_, now_));
    }
    void abandon() noexcept override
    {
        const auto self = blocks_.own(this);
        done_.abandon();
    }

  private:
    void end(std::optional<Found>&& found)
    {
        const auto self = blocks_.own(this);
        done_.complete(std::move(found));
    }

    Shard& shard_;
    Blocks& blocks_;  // of its own: one that is abandoned may outlive the shard
    const std::string& key_;
    rules::WallTime now_;
    Completion<std::optional<Found>>& done_;
    EntryPtr entry_;
    std::uint64_t connection_ = 0;
    rules::Instant sent_;
};

bool Shard::begin_ask(const std::string& key, const std::string& variant, const std::string& storage_key,
                      rules::WallTime now, Completion<std::optional<Found>>& done)
{
    if (log_.connection() == 0 || process_.foreign() || !is_up_to_date()) return false;
    auto lookup = blocks_.make<Lookup>(*this, key, now, done);
    EntryPtr entry = memory_.find(storage_key, now);
    const bool in_memory = entry && entry->epoch == epoch_;
    const bool begun = in_memory ? lookup->begin_look(std::move(entry)) : lookup->begin_get(variant);
    if (begun) lookup.release();
    return begun;
}

// --- writes ----------------------------------------------------------------------------------------------------------

void Shard::note_own(Position position) noexcept
{
    std::atomic<Position>& newest_own = shared().newest_own;
    Position newest = newest_own.load(std::memory_order_relaxed);
    while (newest < position && !newest_own.compare_exchange_weak(newest, position, std::memory_order_acq_rel)) {}
}

asio::awaitable<rules::Result<Position>> Shard::append(Record record)
{
    counters_.add(Counter::purge_records);
    if (const auto here = log_.append_here(record)) {
        catch_up_here();
        co_return here->position;
    }
    if (process_.foreign()) co_return Errc::store_layout;  // nobody would look for it there
    const std::uint64_t connection = log_.connection();
    const rules::Result<Appended> appended = co_await log_.append(record);
    if (appended.has_error()) co_return appended.error();
    note_own(appended->position);
    // Our own record is applied before anybody is answered.
    if (replica_.ready() && connection_ == connection && appended->previous == replica_.position()) {
        record.previous = appended->previous;
        record.position = appended->position;
        apply(record);
    }
    // The log has it; a replica that could not follow trusts nothing until it has caught up. Reading a whole log anew
    // is left to housekeeping: the answer to a write does not wait for that.
    bool known = false;
    if (replica_.ready() && connection_ == connection) known = co_await synchronise(appended->position, connection);
    if (!known) replica_.lose();
    co_return appended->position;
}

void Shard::defer(Record record)
{
    counters_.add(Counter::purge_deferred);
    shared().deferred.add(std::move(record));
}

asio::awaitable<bool> Shard::replay_deferred()
{
    DeferredPurges& deferred = shared().deferred;
    while (auto record = deferred.take()) {
        const rules::Result<Appended> appended = co_await log_.append(*record);
        if (appended.has_error()) {
            deferred.put_back(std::move(*record));
            co_return false;
        }
        note_own(appended->position);  // before it is done: nobody trusts without having seen it
        deferred.done();
        counters_.add(Counter::purge_replayed);
    }
    co_return deferred.count() == 0;
}

asio::awaitable<void> Shard::tend()
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
    note_look(sent);
    co_await replay_deferred();
    replica_.marked("", instant_now());
    count_replica();
}

}  // namespace larder::proxy
