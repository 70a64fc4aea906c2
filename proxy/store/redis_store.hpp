// The shared store: entries in Redis, read together with the log's counter, written by a script that asks the log.
#pragma once

#include <deque>

#include "proxy/net/blocks.hpp"
#include "proxy/observe/counters.hpp"
#include "proxy/redis/keyspace.hpp"
#include "proxy/redis/link.hpp"
#include "proxy/redis/resp.hpp"
#include "proxy/store/store.hpp"

namespace larder::proxy {

/// Single-threaded: one per worker, over its link. Both parameters outlive it.
class RedisStore final : public Store {
  public:
    RedisStore(Link& link, const Keyspace& keys);

    /// `MGET entry counter`. A value that cannot be read is no entry, and counted.
    asio::awaitable<rules::Result<StoreRead>> get(const std::string& key, const std::string& variant) override;
    bool begin_get(const std::string& key, const std::string& variant,
                   Completion<rules::Result<StoreRead>>& done) override;
    asio::awaitable<StoreWrite> put(std::shared_ptr<const Entry> entry, Position token, FillLease& lease) override;
    bool begin_put(std::shared_ptr<const Entry> entry, Position token, FillLease& lease,
                   Completion<StoreWrite>& done) override;

    /// A lease lives for so long. A fetch that takes longer goes on without it: another replica may fetch too then.
    static constexpr rules::Milliseconds lease_life{3'000};
    asio::awaitable<rules::Result<Leased>> lease(FillLease lease, rules::WallTime seen, std::string doomed) override;
    bool begin_lease(const FillLease& lease, rules::WallTime seen, Completion<rules::Result<Leased>>& done) override;
    /// `MGET lease counter`.
    asio::awaitable<rules::Result<LeaseLook>> look_at_lease(std::string key, std::string variant) override;
    asio::awaitable<rules::Errc> release(FillLease lease, rules::NotStored uncacheable,
                                         rules::Milliseconds memory) override;
    asio::awaitable<rules::Errc> forget_uncacheable(std::string key, std::string variant) override;

  private:
    class Reading;
    class Putting;
    class Dropping;
    class Leasing;
    class Taking;
    /// Of the command that is being composed.
    struct Texts {
        std::string entry, lease, position, milliseconds, value;
        std::deque<BriefKey> brief;
    };
    rules::Errc away() noexcept;
    rules::Result<StoreRead> understand(Reading& reading, rules::Result<Reply>&& reply);
    void take_counter(Reading& reading, std::string_view text);
    void take_entry(Reading& reading, std::string_view value, std::unique_ptr<char[]>& block);
    /// Counts a value that cannot be read, and says so at most every 10 s.
    void report_malformed(std::string_view name, bool is_of_other_version, rules::Instant now);

    Link& link_;
    const Keyspace& keys_;
    Blocks& blocks_;
    const std::string incoming_;  // what the names of this store's entries begin with while they wait for the script
    const CommandFrame get_;      // an entry, of which the name's end changes, and the counter
    const CommandFrame take_;     // a lease
    const CommandFrame put_;      // an entry without groups
    Texts texts_;
    std::uint64_t puts_count_ = 0;
    std::string counter_text_;  // of the last reply, and what it means
    Position counter_ = 0;
    rules::Instant malformed_logged_{};
};

}  // namespace larder::proxy
