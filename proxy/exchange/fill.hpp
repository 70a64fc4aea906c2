// One fetch whose answer is to be stored, and those who wait for it. A fill belongs to its key, not to the client that
// asked first: if that one leaves, the others still get their answer. One per key in the whole process.
#pragma once

#include <array>
#include <boost/intrusive/unordered_set.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/exchange/exchange.hpp"
#include "proxy/exchange/lookup.hpp"
#include "proxy/exchange/uncacheable_keys.hpp"
#include "proxy/net/wake_up.hpp"
#include "proxy/store/entry.hpp"
#include "proxy/upstream/fetch.hpp"
#include "rules/http/vary.hpp"

namespace larder::proxy {

/// Shared by the fill's own coroutine (one thread) and its readers (any worker's thread): guarded by its mutex.
class Fill {
  public:
    enum class State : std::uint8_t {
        waiting,    // no response head yet
        streaming,  // storable so far: `meta` is there, the body grows
        complete,   // the whole body is there; `whole` is the entry
        released,   // not storable: the leader takes the fetch over, all others go alone
        failed,     // no response, or it was cut: `error`
        elsewhere,  // nothing was fetched: what another replica has done is to be looked up
    };

    Fill(std::string key, std::string stored_as, LogToken token, bool may_store = true)
        : key(std::move(key)), stored_as(std::move(stored_as)), token(token), may_store(may_store)
    {
    }

    const std::string key;        // logical
    const std::string stored_as;  // under which it is registered
    const LogToken token;         // the log's position when it began: joins never cross a record after it
    const bool may_store;         // no: a write has the key open, see `Fills::join_unsent`

    struct Segment {
        std::unique_ptr<char[]> bytes;
        std::size_t capacity = 0;
        std::size_t size = 0;
    };
    using SegmentPtr = std::shared_ptr<Segment>;

    /// A reader's copy of what is there, taken under the lock. Bytes up to the sizes seen stay as they are.
    struct View {
        State state = State::waiting;
        std::shared_ptr<const Entry> meta, whole;
        bool length_known = false;
        std::uint64_t length = 0;
        std::uint64_t received = 0;
        rules::Errc error = rules::Errc::ok;
        rules::NotStored not_stored = rules::NotStored::none;
        int forward_status = 0;  // the upstream's, when the answer is not its response
        bool stale_on_error = false;
        bool known_uncacheable = false;  // released: another replica knows, nothing was fetched
        bool waited = false;             // elsewhere: until another replica's fetch had ended
        std::vector<std::pair<SegmentPtr, std::string_view>> news;  // body after the position asked for
        std::string interim;                                        // 1xx heads after the position asked for
    };
    View look(std::uint64_t body_from, std::size_t interim_from = 0) const;
    /// Wakes `waiter` at the next change. False: there is something new already.
    bool subscribe(WakeUp& waiter, State seen, std::uint64_t body_seen, std::size_t interim_seen);
    /// The same for a change of the state, with more wakes than that.
    bool subscribe(WakeUp& waiter, State seen);
    void unsubscribe(WakeUp& waiter) noexcept;

    // --- for the fill's coroutine ---
    void add_interim(std::string_view head);
    /// @param so_far  fenced: a write has overtaken it already
    void start(std::shared_ptr<const Entry> meta, bool length_known, std::uint64_t length, std::size_t reserve_bytes,
               rules::NotStored so_far);
    void append(std::string_view body);
    /// Makes what has come the body of `entry`, without a copy when it is in one piece. Once, when it has ended.
    void give_body(Entry& entry);
    std::uint64_t received() const;
    void complete(std::shared_ptr<const Entry> whole, int forward_status, bool stale_on_error, rules::NotStored reason);
    /// Not storable: hands the fetch to the leader if there is one, else ends it.
    void release(rules::NotStored reason, std::unique_ptr<Fetch> fetch);
    void fail(rules::Errc error);
    /// Another replica has found that the answer is not storable: everybody goes alone.
    void release_all(rules::NotStored reason);
    /// Nothing is fetched: everybody looks again.
    void leave_to_others(bool waited);

    /// The span of the fetch, which those who join refer to; none: it is not recorded.
    void name_fetch(SpanLink span);
    SpanLink fetch_span() const;

    // --- for the leader, on the fill's thread ---
    std::unique_ptr<Fetch> take_fetch();
    void leader_left() noexcept;
    bool has_leader() const noexcept;

  private:
    friend class Fills;
    void wake_all();

    // Of `Fills`, for those that were registered there; under its lock, but for `hash_`, which stays:
    std::size_t hash_ = 0;  // of `stored_as`
    boost::intrusive::unordered_set_member_hook<> under_way_;
    std::shared_ptr<Fill> is_under_way_;  // this, as long as it is among them

    mutable std::mutex mutex_;
    View now_;
    std::vector<SegmentPtr> segments_;
    std::string interim_;
    std::vector<WakeUp*> waiters_;
    std::unique_ptr<Fetch> fetch_;
    SpanLink fetch_span_;
    bool leader_ = true;
};

/// Fills under way, and keys whose last answer could not be stored: nobody waits for those.
class Fills {
  public:
    /// The fill under way for the key if `joinable` says so; else registers what `make` makes, and `begun` is true.
    struct Joined {
        std::shared_ptr<Fill> fill;
        bool begun = false;
    };
    template <class Joinable, class Make>
    Joined join_or_begin(const std::string& stored_as, Joinable joinable, Make make)
    {
        const std::size_t hash = Hash{}(stored_as);
        Shard& here = shard(hash);
        const std::lock_guard lock(here.mutex);
        const auto found = here.under_way.find(Key{stored_as, hash}, HashOf{}, IsSame{});
        if (found != here.under_way.end()) {
            if (joinable(*found)) return {found->is_under_way_, false};
            // One that a purge has overtaken goes on for those who wait for it, but nobody joins it any more.
            here.take_out(*found);
        }
        std::shared_ptr<Fill> fill = make();
        fill->hash_ = hash;
        here.under_way.insert(*fill);
        fill->is_under_way_ = fill;
        return {std::move(fill), true};
    }
    void end(Fill& fill);

    /// The fetch that requests for a key may share while a write has it open: one that is sent after they came, so that
    /// each sees what was acknowledged before it. One is under way and one waits for it, no more.
    struct Unsent {
        std::shared_ptr<Fill> fill;
        bool begun = false;           // `make` made it: see that it is sent
        std::shared_ptr<Fill> after;  // begun: to be waited for; null: send now
    };
    Unsent join_unsent(const std::string& stored_as, const std::function<std::shared_ptr<Fill>()>& make);
    /// It is sent now: nobody joins it any more.
    void send_unsent(const std::shared_ptr<Fill>& fill);
    void end_unsent(const Fill& fill);

    void remember_uncacheable(const std::string& stored_as, rules::NotStored reason, rules::Instant until)
    {
        uncacheable_.remember(stored_as, reason, until);
    }
    /// True: something was remembered.
    bool forget_uncacheable(const std::string& stored_as) { return uncacheable_.forget(stored_as); }
    /// Why the last answer could not be stored; none: nothing is remembered.
    rules::NotStored uncacheable(std::string_view stored_as, rules::Instant now)
    {
        return uncacheable_.reason(stored_as, now);
    }
    std::size_t under_way() const;

  private:
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view key) const noexcept;
    };
    struct Pair {
        std::shared_ptr<Fill> under_way, next;
    };
    struct Key {
        std::string_view stored_as;
        std::size_t hash;
    };
    struct HashOf {
        std::size_t operator()(const Key& key) const noexcept { return key.hash; }
        std::size_t operator()(const Fill& fill) const noexcept { return fill.hash_; }
    };
    struct IsSame {
        bool operator()(const Key& key, const Fill& fill) const noexcept
        {
            return key.hash == fill.hash_ && key.stored_as == fill.stored_as;
        }
        bool operator()(const Fill& one, const Fill& other) const noexcept
        {
            return (*this)(Key{one.stored_as, one.hash_}, other);
        }
    };
    // Linked through the fills themselves: a miss registers and ends one, without memory for it.
    using UnderWay = boost::intrusive::unordered_set<
        Fill, boost::intrusive::member_hook<Fill, boost::intrusive::unordered_set_member_hook<>, &Fill::under_way_>,
        boost::intrusive::hash<HashOf>, boost::intrusive::equal<IsSame>, boost::intrusive::power_2_buckets<true>>;
    static constexpr std::size_t shards_count = 16;
    struct Shard {
        Shard() : under_way({buckets.data(), buckets.size()}) {}
        ~Shard();
        Shard(const Shard&) = delete;
        Shard& operator=(const Shard&) = delete;
        void take_out(Fill& fill);

        mutable std::mutex mutex;
        std::array<UnderWay::bucket_type, 256> buckets;  // of 4,096: misses at a time are fewer, as a rule
        UnderWay under_way;
        std::unordered_map<std::string, Pair, Hash, std::equal_to<>> unsent;
    };
    Shard& shard(std::size_t hash) { return shards_[hash / 64 % shards_count]; }
    std::array<Shard, shards_count> shards_;
    UncacheableKeys uncacheable_;
};

/// How one request's fetch differs from everybody's.
struct FillTerms {
    bool alone = false;           // neither joins another's nor is joined: what is stored must be validated for each
    bool may_use_stored = true;   // when the upstream fails, as the stored response allows
    rules::Seconds stale_for{0};  // the request's stale-if-error: when the upstream fails, so long after its lifetime
    bool range = false;           // its Range goes to the origin, and the 206 is stored as that part
};

enum class FillAnswer : std::uint8_t {
    done,        // the client has its answer, or has left
    alone,       // nothing was sent: forward this request by itself
    look_again,  // nothing was sent: the answer was another variant's, or another replica has it
};

class Filling;

/// Who asked first, and the fetch that he has begun; whatever becomes of him it goes on for those who have joined.
class FillLeader {
  public:
    /// @param fill    that it has begun
    /// @param looked  its entry, if there is one, is the expired one to revalidate, and to fall back on when the
    ///                upstream fails
    FillLeader(Services& services, Client& client, ExchangePtr exchange, std::shared_ptr<Fill> fill, Looked&& looked,
               const FillTerms& terms);
    FillLeader(const FillLeader&) = delete;
    FillLeader& operator=(const FillLeader&) = delete;
    ~FillLeader();

    /// The usual miss without a coroutine: gets as far as waiting for the upstream's answer. `waiting` is told later,
    /// never from within; then `answer_at_once`. When one of the two says false, `co_await run()` does what is left.
    bool begin_at_once(Completion<bool>& waiting);
    /// Hands an answer out that has come whole. Then `flush` the client.
    bool answer_at_once(bool ready);
    asio::awaitable<FillAnswer> run();

  private:
    Services& services_;
    Client& client_;
    ExchangePtr exchange_;
    std::shared_ptr<Fill> fill_;
    std::unique_ptr<Filling> filling_;  // null: it goes on by itself
};

/// Begins the fetch of a miss. Null: another's is under way, which is to be joined (`answer_from_fill`).
std::unique_ptr<FillLeader> begin_fill(Services& services, Client& client, ExchangePtr exchange, Looked looked,
                                       FillTerms terms);

/// Gets the answer of a miss, or of a stale entry that must be asked about: joins the fill under way for this key, or
/// begins one, and streams its answer to the client.
/// @param looked  its entry, if there is one, is the expired one to revalidate, and to fall back on when the upstream
/// fails
asio::awaitable<FillAnswer> answer_from_fill(Services& services, Client& client, ExchangePtr exchange, Looked looked,
                                             FillTerms terms);

/// While a write has the key open: shares a fetch that is sent after this request came, and stores nothing. The backend
/// is spared a slow write that takes many keys out of the cache. Never `look_again`.
asio::awaitable<FillAnswer> share_pass(Services& services, Client& client, ExchangePtr exchange);

/// Begins a fill that nobody waits for: a stale entry is refreshed behind the answer. Nothing when one is under way.
void start_refresh(Services& services, ExchangePtr exchange, Looked looked);

}  // namespace larder::proxy
