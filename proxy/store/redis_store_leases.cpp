// The leases of fills in Redis: one fetch for all replicas (COHERENCE section 9).
#include "proxy/net/clock.hpp"
#include "proxy/redis/scripts.hpp"
#include "proxy/store/entry_codec.hpp"
#include "proxy/store/redis_store.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

using rules::Errc;
using rules::NotStored;
using rules::Result;

namespace {

std::string_view lease_life_text()
{
    static const std::string text = std::to_string(RedisStore::lease_life.count());
    return text;
}

}  // namespace

class RedisStore::Leasing final : public AnsweredCall<Result<Leased>> {
  public:
    Leasing(RedisStore& store, const FillLease& lease, rules::WallTime seen, std::string doomed,
            Completion<Result<Leased>>& done)
        : AnsweredCall(store.link_, lease_script(), done),
          store_(store),
          lease_(lease),
          doomed_(std::move(doomed)),
          connection_(store.link_.connection())
    {
        if (seen != rules::WallTime{}) seen_ = std::to_string(seen.time_since_epoch().count());
    }

  private:
    void add_arguments(Arguments& args) override
    {
        Texts& texts = store_.texts_;
        store_.keys_.entry_to(texts.entry, lease_.key, lease_.variant);
        store_.keys_.lease_to(texts.lease, lease_.key, lease_.variant);
        for (const std::string_view arg :
             {std::string_view("3"), std::string_view(texts.entry), std::string_view(store_.keys_.counter()),
              std::string_view(texts.lease), std::string_view(lease_.owner), lease_life_text(), std::string_view(seen_),
              std::string_view(doomed_)})
            args.push_back(arg);
    }
    Result<Leased> understand(Result<Reply>&& reply) override
    {
        if (!reply) return reply.error();
        Leased leased;
        leased.connection = connection_;
        std::vector<Reply>& words = reply->elements;
        const std::string_view kind = words.size() < 2 ? std::string_view() : std::string_view(words[0].text);
        if (!kind.empty()) leased.counter = rules::parse_digits(words[1].text).value_or(0);
        if (kind == "ours") {
            leased.kind = Leased::Kind::ours;
        } else if (kind == "taken" && words.size() == 3) {
            leased.kind = Leased::Kind::taken;
            leased.holder = std::move(words[2].text);
        } else if (kind == "stored" && words.size() == 3) {
            leased.kind = Leased::Kind::stored;
            leased.stored = rules::WallTime{rules::Milliseconds{rules::parse_digits(words[2].text).value_or(0)}};
        } else if (kind == "uncacheable" && words.size() == 4) {
            leased.kind = Leased::Kind::uncacheable;
            leased.left = rules::Milliseconds{rules::parse_digits(words[2].text).value_or(1)};
            // A replica of another version may know a reason that this one does not.
            leased.reason = rules::not_stored_of(words[3].text).value_or(NotStored::status);
        } else {
            store_.link_.counters().add(Counter::store_malformed);
            return Errc::store_malformed;
        }
        return leased;
    }

    RedisStore& store_;
    const FillLease& lease_;
    const std::string doomed_;
    std::string seen_;
    const std::uint64_t connection_;
};

/// Takes a lease by plain commands, which are half the work of a script for Redis. They are not one step, but in this
/// order it makes no difference: who has stored before us is seen, and who comes after us sees our lease. When somebody
/// fetches or has stored, the script says what it is, and takes back what was taken here.
class RedisStore::Taking final : public LinkOperation {
  public:
    static bool begin(RedisStore& store, const FillLease& lease, rules::WallTime seen, Completion<Result<Leased>>& done)
    {
        auto taking = std::make_unique<Taking>(store, lease, seen, done);
        if (!taking->send()) return false;
        taking.release();
        return true;
    }
    Taking(RedisStore& store, const FillLease& lease, rules::WallTime seen, Completion<Result<Leased>>& done)
        : LinkOperation(StoreOperation::lease),
          store_(store),
          lease_(lease),
          seen_(seen),
          connection_(store.link_.connection()),
          done_(done)
    {
    }

    void take_earlier(const Reply& reply) override
    {
        if (!is_set_answered_) {
            is_set_answered_ = true;
            is_ours_ = reply.kind == Reply::Kind::status;  // OK; nil: somebody has it
            is_refused_ = reply.is_error();
        } else if (reply.is_text()) {
            const auto stored = stored_time_of(reply.text);
            is_ours_ = is_ours_ && (!stored || *stored == seen_);
        }
    }
    void complete(Result<Reply>&& counter) override
    {
        const std::unique_ptr<Taking> self(this);
        if (!counter) return done_.complete(counter.error());
        if (is_refused_) return done_.complete(Errc::store_refused);
        if (!is_ours_ || counter->is_error()) {
            const bool asked = Leasing::begin(std::make_unique<Leasing>(store_, lease_, seen_, std::string(), done_));
            if (!asked) done_.complete(store_.link_.send_error());
            return;
        }
        Leased leased;
        leased.kind = Leased::Kind::ours;
        leased.connection = connection_;
        if (counter->is_text()) leased.counter = rules::parse_digits(counter->text).value_or(0);
        done_.complete(std::move(leased));
    }
    void abandon() noexcept override
    {
        const std::unique_ptr<Taking> self(this);
        done_.abandon();
    }

  private:
    bool send()
    {
        const NameEnd name(lease_.key, lease_.variant);
        const std::string_view owner = lease_.owner;
        const CommandFrame::Rest rests[] = {name.pieces(), {&owner, 1}, name.pieces()};
        return store_.link_.send(*this, store_.take_, rests);
    }

    RedisStore& store_;
    const FillLease& lease_;
    const rules::WallTime seen_;
    const std::uint64_t connection_;
    Completion<Result<Leased>>& done_;
    bool is_set_answered_ = false, is_ours_ = false, is_refused_ = false;
};

bool RedisStore::begin_lease(const FillLease& lease, rules::WallTime seen, Completion<Result<Leased>>& done)
{
    if (link_.connection() == 0) return false;
    return Taking::begin(*this, lease, seen, done);
}

asio::awaitable<Result<Leased>> RedisStore::lease(FillLease lease, rules::WallTime seen, std::string doomed)
{
    auto begin = [this, lease = std::move(lease), seen, doomed = std::move(doomed)](Completion<Result<Leased>>& done) {
        if (doomed.empty()) return Taking::begin(*this, lease, seen, done);
        return Leasing::begin(std::make_unique<Leasing>(*this, lease, seen, doomed, done));
    };
    auto otherwise = [this] { return Result<Leased>(link_.send_error()); };
    return await_completion<Result<Leased>>(link_.context(), std::move(begin), std::move(otherwise));
}

asio::awaitable<Result<LeaseLook>> RedisStore::look_at_lease(std::string key, std::string variant)
{
    if (link_.connection() == 0) co_return away();
    const std::string name = keys_.lease(key, variant);
    const std::string_view args[] = {"MGET", name, keys_.counter()};
    LeaseLook look;
    look.connection = link_.connection();
    look.sent = instant_now();
    const Result<Reply> reply = co_await link_.execute(args, StoreOperation::lease);
    if (!reply) co_return reply.error();
    if (!reply->is_array() || reply->elements.size() != 2) co_return Errc::store_refused;
    if (reply->elements[0].is_text()) look.holder = reply->elements[0].text;
    if (reply->elements[1].is_text()) look.counter = rules::parse_digits(reply->elements[1].text).value_or(0);
    co_return look;
}

asio::awaitable<Errc> RedisStore::release(FillLease lease, NotStored uncacheable, rules::Milliseconds memory)
{
    if (link_.connection() == 0) co_return away();
    const std::string name = keys_.lease(lease.key, lease.variant);
    const std::string_view why = uncacheable == NotStored::none ? std::string_view() : rules::word(uncacheable);
    const std::string life = std::to_string(memory.count());
    std::vector<std::string_view> args = {"1", name, lease.owner, why, life};
    const Result<Reply> reply = co_await run_script(link_, release_script(), std::move(args));
    co_return reply ? Errc::ok : reply.error();
}

asio::awaitable<Errc> RedisStore::forget_uncacheable(std::string key, std::string variant)
{
    if (link_.connection() == 0) co_return away();
    const std::string name = keys_.lease(key, variant);
    std::vector<std::string_view> args = {"1", name, "U", "", "0"};
    const Result<Reply> reply = co_await run_script(link_, release_script(), std::move(args));
    co_return reply ? Errc::ok : reply.error();
}

}  // namespace larder::proxy
