// What a shard does with a response that has been fetched: into memory, and to the store unless the log speaks against
// it.
#include <algorithm>

#include "proxy/coherence/guards.hpp"
#include "proxy/coherence/shard.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/redis/keyspace.hpp"

namespace larder::proxy {

using rules::NotStored;

void Shard::insert_memory(const EntryPtr& entry, rules::WallTime now)
{
    if (!memory_.insert(entry, now) || !embedded()) return;
    // A purge applied by another worker between our check and the insert had nothing to remove: check once more now
    // that the entry can be seen. From here on whoever applies an exact purge removes it.
    catch_up_here();
    // Not so a long key, which its purge names by a digest: the entry never counts as settled.
    if (matched_since(*entry, entry->position.load(std::memory_order_relaxed)) != Since::clean)
        memory_.erase(storage_key(entry->key, entry->variant));
    else if (entry->key.size() <= BriefKey::longest)
        entry->settled.store(true, std::memory_order_release);
}

/// Its groups are known only now: a purge of one of them may have come, or (settle) keep it out for a while yet.
bool Shard::is_fenced(const Entry& entry, LogToken since)
{
    return voided_since(entry, since) || std::any_of(entry.groups.begin(), entry.groups.end(), [&](const auto& group) {
               return found_marked(group).has_value();
           });
}

NotStored Shard::store_here(std::shared_ptr<Entry> entry, LogToken since)
{
    if (is_fenced(*entry, since) && guarded(Guard::fence)) return NotStored::fenced;
    entry->epoch = epoch_;
    entry->position.store(replica_.position(), std::memory_order_relaxed);
    insert_memory(entry, wall_now());
    return NotStored::none;
}

NotStored Shard::may_put(const Entry& entry, LogToken since)
{
    if (!trusted() || !replica_.ready()) return NotStored::store_failed;
    if (is_fenced(entry, since) && guarded(Guard::fence)) return NotStored::fenced;
    return NotStored::none;
}

Shard::PutTerms Shard::put_terms() const { return {connection_, epoch_, wall_now()}; }

NotStored Shard::on_put(std::shared_ptr<Entry> entry, const PutTerms& terms, const StoreWrite& written,
                        FillLease& lease)
{
    if (lease.owner.empty()) lease.held.unlink();
    if (written.refused != NotStored::none) return written.refused;
    if (terms.connection != connection_ || !replica_.ready()) return NotStored::none;
    if (matched_since(*entry, written.position) == Since::clean || !guarded(Guard::watch)) {
        entry->epoch = terms.epoch;
        entry->position.store(written.position, std::memory_order_relaxed);
        insert_memory(entry, terms.now);
    }
    return NotStored::none;
}

asio::awaitable<NotStored> Shard::store(std::shared_ptr<Entry> entry, LogToken since, FillLease* lease)
{
    if (embedded()) co_return store_here(std::move(entry), since);
    const NotStored refused = may_put(*entry, since);
    if (refused != NotStored::none) co_return refused;
    const PutTerms terms = put_terms();
    // Records up to here have been held against it: the script looks at those after it only.
    Position held = replica_.position();
    if (!guarded(Guard::store_check)) {
        const rules::Result<Position> counter = co_await log_.look();
        if (counter.has_value()) held = *counter;
    }
    FillLease none;
    if (!lease) {
        none.key = entry->key;
        none.variant = entry->variant;
    }
    FillLease& fill_lease = lease ? *lease : none;
    const StoreWrite written = co_await store_->put(entry, held, fill_lease);
    co_return on_put(std::move(entry), terms, written, fill_lease);
}

/// The same without a coroutine.
class Shard::Storing final : public Completion<StoreWrite> {
  public:
    Storing(Shard& shard, std::shared_ptr<Entry> entry, FillLease& lease, Completion<NotStored>& done)
        : shard_(shard), entry_(std::move(entry)), lease_(lease), done_(done), terms_(shard.put_terms())
    {
    }
    bool begin() { return shard_.store_->begin_put(entry_, shard_.replica_.position(), lease_, *this); }

    void complete(StoreWrite&& written) override
    {
        const std::unique_ptr<Storing> self(this);
        done_.complete(shard_.on_put(std::move(entry_), terms_, written, lease_));
    }
    void abandon() noexcept override
    {
        const std::unique_ptr<Storing> self(this);
        done_.abandon();
    }

  private:
    Shard& shard_;
    std::shared_ptr<Entry> entry_;
    FillLease& lease_;
    Completion<NotStored>& done_;
    const PutTerms terms_;
};

bool Shard::begin_store(std::shared_ptr<Entry> entry, LogToken since, FillLease& lease, Completion<NotStored>& done)
{
    if (!guarded(Guard::store_check) || may_put(*entry, since) != NotStored::none) return false;
    auto storing = std::make_unique<Storing>(*this, std::move(entry), lease, done);
    if (!storing->begin()) return false;
    storing.release();
    return true;
}

}  // namespace larder::proxy
