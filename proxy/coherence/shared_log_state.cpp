#include "proxy/coherence/shared_log_state.hpp"

namespace larder::proxy {

void DeferredPurges::add(Record record)
{
    const std::lock_guard lock(mutex_);
    count_.fetch_add(1, std::memory_order_release);  // first: it must not be seen at 0 between
    if (records_.size() >= most || bytes_ + bytes_of(record) > most_bytes) {
        count_.fetch_sub(records_.size(), std::memory_order_release);
        records_.clear();
        bytes_ = 0;
        record = Record{};
        record.patterns = {"*"};
    }
    bytes_ += bytes_of(record);
    records_.push_back(std::move(record));
}

std::optional<Record> DeferredPurges::take()
{
    const std::lock_guard lock(mutex_);
    if (records_.empty()) return std::nullopt;
    Record record = std::move(records_.front());
    records_.pop_front();
    bytes_ -= bytes_of(record);
    return record;
}

void DeferredPurges::put_back(Record record)
{
    const std::lock_guard lock(mutex_);
    bytes_ += bytes_of(record);
    records_.push_front(std::move(record));
}

std::size_t SharedLogState::deferred_count() const noexcept
{
    std::size_t count = 0;
    for (std::size_t i = 0; i < count_; ++i) count += shards_[i].deferred.count();
    return count;
}

bool SharedLogState::note_foreign(std::size_t index, bool foreign) noexcept
{
    if (shards_[index].foreign.exchange(foreign, std::memory_order_acq_rel) == foreign) return false;
    foreign_count_.fetch_add(foreign ? 1 : -1, std::memory_order_acq_rel);
    return true;
}

}  // namespace larder::proxy
