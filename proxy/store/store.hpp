// The shared store behind the in-process one, as the request path sees it: an entry and the log's counter in one round
// trip; a put that the log can refuse; the leases by which replicas share one fetch. Implemented by redis_store. The
// embedded mode has none: memory is its store.
#pragma once

#include <boost/intrusive/list_hook.hpp>
#include <string>
#include <string_view>

#include "proxy/net/asio.hpp"
#include "proxy/net/waiter.hpp"
#include "proxy/store/entry.hpp"
#include "rules/base/errors.hpp"
#include "rules/verdict/verdict.hpp"

namespace larder::proxy {

struct StoreRead {
    std::shared_ptr<Entry> entry;  // null: none, or not readable
    Position counter = 0;          // the log's counter, read together with the entry; 0: the log has none
    rules::Instant sent;           // when the command was sent, or up to a turn earlier: the look that this read is
    std::uint64_t connection = 0;  // which connection gave it
};

/// What a put gave: where the log stood, or why it was refused.
struct StoreWrite {
    rules::NotStored refused = rules::NotStored::none;  // fenced, log_gap, newer, store_failed
    Position position = 0;                              // with none: the entry's new position
};

/// The right to fetch a key for all replicas: from LEASE to STORE, RELEASE or its expiry.
struct FillLease {
    std::string key, variant;  // as they were looked up: what the answer varies by may not be known yet
    std::string owner;         // "<replica>-<n>@<position>"; empty: not held
    using Hook = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
    Hook held{};  // among those of its shard, from the moment it is ours
};

/// What asking for a lease gave, and the log's counter, read together.
struct Leased {
    enum class Kind : std::uint8_t {
        ours,         // fetch
        taken,        // `holder` fetches
        stored,       // there is a response that the caller does not know: `stored`
        uncacheable,  // the last answer could not be stored: `reason`, known for `left` more
        away,         // the store does not answer
    } kind = Kind::away;
    std::string holder;
    rules::WallTime stored{};
    rules::NotStored reason = rules::NotStored::none;
    rules::Milliseconds left{0};
    Position counter = 0;          // 0: the log has none
    std::uint64_t connection = 0;  // which connection gave it
};

/// A lease and the log's counter, read together.
struct LeaseLook {
    std::string holder;  // as it stands in the store; empty: nobody
    Position counter = 0;
    rules::Instant sent;
    std::uint64_t connection = 0;
};

class Store {
  public:
    virtual ~Store() = default;

    /// Errors: store_unreachable, store_timeout, store_refused. Never throws. Cancellation is not supported: the
    /// operation ends by its own deadline.
    /// @param key, variant  must stay until then: name them in the awaiting frame
    virtual asio::awaitable<rules::Result<StoreRead>> get(const std::string& key, const std::string& variant) = 0;

    /// The same without a coroutine: `done` is completed later, never from within. False: `get` tells why it cannot be
    /// had, `done` is not touched. The parameters stay until then.
    virtual bool begin_get(const std::string&, const std::string&, Completion<rules::Result<StoreRead>>&)
    {
        return false;
    }

    /// @param token  the position up to which the log has been held against this response already
    /// @param lease  of the fill; its owner is emptied when the store has freed it
    virtual asio::awaitable<StoreWrite> put(std::shared_ptr<const Entry> entry, Position token, FillLease& lease) = 0;
    /// The same without a coroutine, as `begin_get`. `lease` stays until then.
    virtual bool begin_put(std::shared_ptr<const Entry>, Position, FillLease&, Completion<StoreWrite>&)
    {
        return false;
    }

    /// Asks for the lease named by `lease`, for its owner. Errors as of `get`.
    /// @param seen    the response under this key that the caller has found unusable; the epoch: none
    /// @param doomed  a holder whose fetch a purge has overtaken: its lease is taken over; empty: none
    virtual asio::awaitable<rules::Result<Leased>> lease(FillLease lease, rules::WallTime seen, std::string doomed) = 0;
    /// The same without a coroutine and without anybody doomed, as `begin_get`.
    virtual bool begin_lease(const FillLease&, rules::WallTime, Completion<rules::Result<Leased>>&) { return false; }
    virtual asio::awaitable<rules::Result<LeaseLook>> look_at_lease(std::string key, std::string variant) = 0;
    /// Ends a lease that put has not ended. With a reason: the key is known as uncacheable for `memory`, to all.
    virtual asio::awaitable<rules::Errc> release(FillLease lease, rules::NotStored uncacheable,
                                                 rules::Milliseconds memory) = 0;
    /// The key is not known as uncacheable any more, to nobody. A lease that somebody holds stays.
    virtual asio::awaitable<rules::Errc> forget_uncacheable(std::string key, std::string variant) = 0;
};

}  // namespace larder::proxy
