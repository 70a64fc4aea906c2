#include "proxy/coherence/local_log.hpp"

#include <algorithm>

#include "proxy/net/clock.hpp"

namespace larder::proxy {
namespace {

Position wall_microseconds() noexcept
{
    const std::chrono::microseconds since_epoch = wall_now().time_since_epoch();
    return static_cast<Position>(std::max<std::int64_t>(since_epoch.count(), 1));
}

}  // namespace

LocalLog::LocalLog(std::size_t records_limit, std::size_t patterns_limit, std::size_t records_limit_bytes,
                   std::size_t patterns_limit_bytes)
    : position_(wall_microseconds()),
      floor_(position_.load(std::memory_order_relaxed)),
      records_limit_(std::max<std::size_t>(records_limit, 1)),
      patterns_limit_(std::max<std::size_t>(patterns_limit, 1)),
      records_limit_bytes_(records_limit_bytes),
      patterns_limit_bytes_(patterns_limit_bytes)
{
}

std::optional<std::vector<Record>> LocalLog::records_here(Position after) const
{
    const std::lock_guard lock{mutex_};
    if (after == position_.load(std::memory_order_relaxed)) return std::vector<Record>{};
    const auto first =
        std::upper_bound(records_.begin(), records_.end(), after,
                         [](Position position, const Record& record) { return position < record.position; });
    if (first == records_.end() || first->previous != after) return std::nullopt;
    return std::vector<Record>(first, records_.end());
}

std::optional<LogSnapshot> LocalLog::snapshot_here() const
{
    const rules::Instant now = instant_now();
    const std::lock_guard lock{mutex_};
    LogSnapshot snapshot;
    snapshot.run_id = "local";
    snapshot.position = position_.load(std::memory_order_relaxed);
    snapshot.floor = floor_;
    snapshot.patterns.assign(patterns_.begin(), patterns_.end());
    for (const auto& [record, end] : open_)
        if (end > now) snapshot.recent.push_back(record);
    return snapshot;
}

std::optional<Appended> LocalLog::append_here(Record record)
{
    const rules::Instant now = instant_now();
    const std::lock_guard lock{mutex_};
    record.previous = position_.load(std::memory_order_relaxed);
    record.position = std::max(record.previous + 1, wall_microseconds());
    const Appended appended{record.previous, record.position};

    for (const std::string& pattern : record.patterns) {
        if (patterns_.insert_or_assign(pattern, record.position).second) patterns_bytes_ += pattern.size();
    }
    while (patterns_.size() > patterns_limit_ || patterns_bytes_ > patterns_limit_bytes_) forget_oldest_patterns();
    follow_marks(record, now);
    records_bytes_ += bytes_of(record);
    records_.push_back(std::move(record));
    while (records_.size() > records_limit_ || (records_.size() > 1 && records_bytes_ > records_limit_bytes_)) {
        records_bytes_ -= bytes_of(records_.front());
        records_.pop_front();
    }
    // Last: whoever sees the counter finds the record.
    position_.store(appended.position, std::memory_order_release);
    return appended;
}

// Keeps the records that a replica starting now must know for its marks; the same steps as the replica's own.
void LocalLog::follow_marks(const Record& record, rules::Instant now)
{
    std::erase_if(open_, [&](const auto& open) {
        return open.second <= now || (record.type == RecordType::commit && open.first.type == RecordType::prepare &&
                                      open.first.write_id == record.write_id);
    });
    const bool opens = record.type == RecordType::prepare || record.type == RecordType::commit;
    if (opens && record.life.count() > 0) open_.emplace_back(record, now + record.life);
}

void LocalLog::forget_oldest_patterns()
{
    std::vector<Position> positions;
    positions.reserve(patterns_.size());
    for (const auto& [pattern, position] : patterns_) positions.push_back(position);
    const auto last = positions.begin() + static_cast<std::ptrdiff_t>((positions.size() - 1) / 10);
    std::nth_element(positions.begin(), last, positions.end());
    floor_ = std::max(floor_, *last);
    std::erase_if(patterns_, [&](const auto& pattern) {
        if (pattern.second > *last) return false;
        patterns_bytes_ -= pattern.first.size();
        return true;
    });
}

asio::awaitable<rules::Result<Position>> LocalLog::look() { co_return *position_here(); }

asio::awaitable<rules::Result<std::vector<Record>>> LocalLog::records_after(Position after)
{
    std::optional<std::vector<Record>> records = records_here(after);
    if (records) co_return std::move(*records);
    const std::lock_guard lock{mutex_};  // trimmed away: what is left does not begin at `after`, which says so
    co_return std::vector<Record>(records_.begin(), records_.end());
}

asio::awaitable<rules::Result<LogSnapshot>> LocalLog::init() { co_return *snapshot_here(); }

asio::awaitable<rules::Result<Appended>> LocalLog::append(Record record) { co_return *append_here(std::move(record)); }

}  // namespace larder::proxy
