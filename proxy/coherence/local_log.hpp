// The purge log in the process: the embedded store's. One short lock for appends and catching up; the counter is atomic.
// Shared by all workers.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "proxy/coherence/purge_log.hpp"

namespace larder::proxy {

class LocalLog final : public PurgeLog {
  public:
    /// @param records_limit  older records are forgotten; a worker further behind resyncs by `init`
    explicit LocalLog(std::size_t records_limit = 100'000, std::size_t patterns_limit = 10'000);

    std::optional<Position> position_here() const noexcept override { return position_.load(std::memory_order_acquire); }
    std::optional<std::vector<Record>> records_here(Position after) const override;
    std::uint64_t connection() const noexcept override { return 1; }
    /// The same without a coroutine.
    Appended append_here(Record record);
    LogSnapshot snapshot_here() const;

    asio::awaitable<rules::Result<Position>> look() override;
    asio::awaitable<rules::Result<std::vector<Record>>> records_after(Position after) override;
    asio::awaitable<rules::Result<LogSnapshot>> init() override;
    asio::awaitable<rules::Result<Appended>> append(Record record) override;

  private:
    mutable std::mutex mutex_;
    std::atomic<Position> position_;
    std::deque<Record> records_;
    std::unordered_map<std::string, Position> patterns_;
    Position floor_ = 0;
    std::size_t records_limit_, patterns_limit_;
};

}  // namespace larder::proxy
