// The purge log in the process: the embedded store's. One short lock for appends and catching up; the counter is
// atomic. Shared by all workers.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "proxy/coherence/purge_log.hpp"

namespace larder::proxy {

class LocalLog final : public PurgeLog {
  public:
    /// @param records_limit   older records are forgotten; a worker further behind resyncs by `init`
    /// @param patterns_limit  of the long memory; above it the oldest tenth goes and the floor rises to the newest of
    /// them.
    ///                        No `init` record: a replica that has applied all records remembers as much or more itself
    /// @param records_limit_bytes, patterns_limit_bytes  the same by size: what a client sends is part of them
    explicit LocalLog(std::size_t records_limit = 100'000, std::size_t patterns_limit = 10'000,
                      std::size_t records_limit_bytes = std::size_t{16} << 20,
                      std::size_t patterns_limit_bytes = std::size_t{4} << 20);

    std::optional<Position> position_here() const noexcept override
    {
        return position_.load(std::memory_order_acquire);
    }
    std::optional<std::vector<Record>> records_here(Position after) const override;
    std::uint64_t connection() const noexcept override { return 1; }
    std::optional<LogSnapshot> snapshot_here() const override;
    std::optional<Appended> append_here(Record record) override;

    asio::awaitable<rules::Result<Position>> look() override;
    asio::awaitable<rules::Result<std::vector<Record>>> records_after(Position after) override;
    asio::awaitable<rules::Result<LogSnapshot>> init() override;
    asio::awaitable<rules::Result<Appended>> append(Record record) override;

  private:
    void follow_marks(const Record& record, rules::Instant now);
    void forget_oldest_patterns();

    mutable std::mutex mutex_;
    std::atomic<Position> position_;
    std::deque<Record> records_;
    std::unordered_map<std::string, Position> patterns_;
    std::vector<std::pair<Record, rules::Instant>> open_;  // records of the marks that are open, and when they end
    Position floor_ = 0;
    std::size_t records_bytes_ = 0, patterns_bytes_ = 0;
    std::size_t records_limit_, patterns_limit_, records_limit_bytes_, patterns_limit_bytes_;
};

}  // namespace larder::proxy
