// The purge log shared by all sidecars of a namespace, in Redis (COHERENCE section 2): a counter, a stream of recent
// records, a sorted set as the long memory of patterns.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "proxy/coherence/purge_log.hpp"
#include "proxy/redis/keyspace.hpp"
#include "proxy/redis/link.hpp"

namespace larder::proxy {

/// Of one server, by `INFO memory`.
struct ServerMemory {
    std::uint64_t used_bytes = 0;
    std::uint64_t limit_bytes = 0;  // maxmemory; 0: none
};

struct RedisLogOptions {
    rules::Milliseconds mark_life{35'000};  // the longest life of a mark; records are kept a minute longer
    std::size_t records_limit = 100'000;
    std::size_t patterns_limit = 10'000;  // above: the oldest tenth is forgotten and the floor raised
    /// A record that would fill this with its like leaves fewer in the stream, yet never fewer than a thousand.
    std::size_t stream_bytes = std::size_t{64} << 20;
};

/// Single-threaded: one per worker, over its link. Link and keyspace outlive it, and the link is stopped before it
/// goes.
class RedisLog final : public PurgeLog {
  public:
    RedisLog(Link& link, const Keyspace& keys, RedisLogOptions options = {});
    ~RedisLog();

    /// From now on. `mark_life` never shrinks: a write that has begun may have the longer one.
    void use(const RedisLogOptions& options) noexcept
    {
        const rules::Milliseconds before = options_.mark_life;
        options_ = options;
        options_.mark_life = std::max(before, options.mark_life);
    }
    /// Empty when the server is away or does not tell.
    asio::awaitable<std::optional<ServerMemory>> ask_memory();

    std::optional<Position> position_here() const noexcept override { return std::nullopt; }
    std::optional<std::vector<Record>> records_here(Position) const override { return std::nullopt; }
    std::optional<LogSnapshot> snapshot_here() const override { return std::nullopt; }
    std::optional<Appended> append_here(Record) override { return std::nullopt; }
    std::uint64_t connection() const noexcept override { return link_.connection(); }

    /// One look is under way and one waits, no more: all who ask before the next is sent share it. 0: there is no
    /// counter.
    asio::awaitable<rules::Result<Position>> look() override;
    bool begin_look(Completion<rules::Result<Position>>& done) override;
    asio::awaitable<rules::Result<std::vector<Record>>> records_after(Position after) override;
    asio::awaitable<rules::Result<LogSnapshot>> init() override;
    /// More than 500 keys and patterns go as several records; the last one's positions come back.
    asio::awaitable<rules::Result<Appended>> append(Record record) override;

  private:
    class Look;

    asio::awaitable<rules::Result<std::vector<Record>>> range(Position after, std::string to);
    asio::awaitable<void> warn_of_eviction_policy();
    asio::awaitable<rules::Errc> ask_run_id(std::uint64_t connection);
    asio::awaitable<rules::Errc> read_patterns(LogSnapshot& snapshot);
    asio::awaitable<rules::Result<Appended>> append_part(const Record& record, std::string write_id, std::size_t from,
                                                         std::size_t to);
    asio::awaitable<rules::Result<Reply>> ask(std::span<const std::string_view> args);
    rules::Milliseconds retain() const noexcept;
    rules::Errc malformed() noexcept;

    Link& link_;
    const Keyspace& keys_;
    RedisLogOptions options_;
    std::unique_ptr<Look> look_;
    std::string run_id_;  // of the server behind connection `run_id_of_`; empty: it hides it
    std::uint64_t run_id_of_ = 0;
};

}  // namespace larder::proxy
