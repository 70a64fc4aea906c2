#include "proxy/store/redis_store.hpp"

#include <boost/asio/post.hpp>
#include <deque>

#include "proxy/net/clock.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/redis/scripts.hpp"
#include "proxy/store/entry_codec.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

using rules::Errc;
using rules::NotStored;
using rules::Result;

namespace {

asio::awaitable<Result<StoreRead>> failed(Errc why) { co_return why; }

}  // namespace

Errc RedisStore::away() noexcept
{
    link_.counters().add(Counter::store_errors);
    return link_.send_error();
}

void RedisStore::report_malformed(std::string_view name, rules::Instant now)
{
    link_.counters().add(Counter::store_malformed);
    constexpr std::chrono::seconds log_every{10};
    if (malformed_logged_ != rules::Instant{} && now - malformed_logged_ < log_every) return;
    malformed_logged_ = now;
    log_event(config::LogLevel::warn,
              "a stored response is not as it was written, and is not served: who else writes to this Redis?",
              {{"key", name}});
}

/// One `get` under way. Belongs to itself from `send` on.
class RedisStore::Reading final : public LinkOperation {
  public:
    Reading(RedisStore& store, const std::string& k, const std::string& v, Completion<Result<StoreRead>>& done)
        : LinkOperation(StoreOperation::get),
          key(k),
          variant(v),
          name(store.keys_.entry(k, v)),
          store_(store),
          done_(done)
    {
    }

    bool send()
    {
        Link& link = store_.link_;
        const std::string_view args[] = {"MGET", name, store_.keys_.counter()};
        look.connection = link.connection();
        look.sent = instant_now();  // not later than the command: a look is dated by it
        link.counters().add(Counter::store_gets);
        return link.send(*this, args);
    }
    void complete(Result<Reply>&& reply) override
    {
        const std::unique_ptr<Reading> self(this);
        done_.complete(store_.understand(*this, std::move(reply)));
    }
    void abandon() noexcept override
    {
        const std::unique_ptr<Reading> self(this);
        done_.abandon();
    }

    const std::string& key;
    const std::string& variant;
    const std::string name;
    StoreRead look;

  private:
    RedisStore& store_;
    Completion<Result<StoreRead>>& done_;
};

Result<StoreRead> RedisStore::understand(Reading& reading, Result<Reply>&& reply)
{
    if (!reply) return reply.error();
    if (reply->is_error()) return Errc::store_refused;
    if (!reply->is_array() || reply->elements.size() != 2) {
        link_.counters().add(Counter::store_malformed);
        return Errc::store_refused;
    }
    StoreRead read = std::move(reading.look);
    Reply& value = reply->elements[0];
    const Reply& counter = reply->elements[1];
    // A counter that is no number is as good as none: the log starts over.
    if (counter.is_text()) read.counter = rules::parse_digits(counter.text).value_or(0);
    if (value.is_text()) {
        read.entry = decode_entry(std::move(value.text), reading.key, reading.variant);
        // Both were read at once, and no honest entry is ahead of the counter: one that is would outlive each purge by
        // pattern. (Without a counter the log starts over, and voids what is stored.)
        if (read.entry && read.entry->position.load(std::memory_order_relaxed) > read.counter) read.entry.reset();
        if (!read.entry) report_malformed(reading.name, read.sent);
    }
    return read;
}

bool RedisStore::begin_get(const std::string& key, const std::string& variant, Completion<Result<StoreRead>>& done)
{
    if (link_.connection() == 0) return false;
    auto reading = std::make_unique<Reading>(*this, key, variant, done);
    if (!reading->send()) return false;
    reading.release();
    return true;
}

asio::awaitable<Result<StoreRead>> RedisStore::get(const std::string& key, const std::string& variant)
{
    if (link_.connection() == 0) return failed(away());
    auto start = [this, &key, &variant](auto&& handler) {
        using Handler = std::decay_t<decltype(handler)>;
        using Read = Result<StoreRead>;
        Completion<Read>* const done = Waiter<Completion<Read>, Read, Handler>::make(std::move(handler));
        if (begin_get(key, variant, *done)) return;
        asio::post(link_.context(), [this, done] { done->complete(link_.send_error()); });
    };
    return asio::async_initiate<decltype(asio::use_awaitable), void(Result<StoreRead>)>(std::move(start),
                                                                                        asio::use_awaitable);
}

asio::awaitable<StoreWrite> RedisStore::put(std::shared_ptr<const Entry> entry, Position token, FillLease& lease)
{
    StoreWrite result;
    result.refused = NotStored::store_failed;
    const auto left = entry->expires - wall_now();
    if (left.count() <= 0) co_return result;
    if (link_.connection() == 0) {  // before the work of encoding
        away();
        co_return result;
    }

    const std::string name = keys_.entry(entry->key, entry->variant);
    const std::string lease_name = keys_.lease(lease.key, lease.variant);
    const std::string position = std::to_string(token);
    const std::string milliseconds = std::to_string(left.count());
    const std::string payload = encode_entry(*entry);
    const BriefKey brief(entry->key);
    std::vector<std::string_view> args = {
        {},       {},         "4",          name,        keys_.counter(), keys_.stream(), lease_name,
        position, entry->key, milliseconds, lease.owner, payload,         brief.text()};
    std::deque<BriefKey> brief_groups;
    for (const std::string& group : entry->groups) {
        args.push_back(group);
        if (group.size() > BriefKey::longest) args.push_back(brief_groups.emplace_back(group).text());
    }
    link_.counters().add(Counter::store_puts);
    const Result<Reply> reply = co_await run_script(link_, store_script(), std::move(args));
    if (!reply) co_return result;
    lease.owner.clear();
    const std::string& answer = reply->text;
    if (const auto stored = rules::parse_digits(answer)) {
        result.refused = NotStored::none;
        result.position = *stored;
    } else if (answer == "fenced") {
        result.refused = NotStored::fenced;
    } else if (answer == "newer") {
        result.refused = NotStored::newer;
    } else if (answer == "gap" || answer == "nolog") {
        result.refused = NotStored::log_gap;
    }
    co_return result;
}

// --- leases ----------------------------------------------------------------------------------------------------------

asio::awaitable<Result<Leased>> RedisStore::lease(FillLease lease, rules::WallTime seen, std::string doomed)
{
    if (link_.connection() == 0) co_return away();
    const std::string entry_name = keys_.entry(lease.key, lease.variant);
    const std::string lease_name = keys_.lease(lease.key, lease.variant);
    const std::string life = std::to_string(lease_life.count());
    const std::string seen_text =
        seen == rules::WallTime{} ? std::string() : std::to_string(seen.time_since_epoch().count());
    std::vector<std::string_view> args = {{},         {},          "3",  entry_name, keys_.counter(),
                                          lease_name, lease.owner, life, seen_text,  doomed};
    Leased leased;
    leased.connection = link_.connection();
    const Result<Reply> reply = co_await run_script(link_, lease_script(), std::move(args));
    if (!reply) co_return reply.error();

    const std::vector<Reply>& words = reply->elements;
    const std::string_view kind = words.size() < 2 ? std::string_view() : std::string_view(words[0].text);
    if (!kind.empty()) leased.counter = rules::parse_digits(words[1].text).value_or(0);
    if (kind == "ours") {
        leased.kind = Leased::Kind::ours;
    } else if (kind == "taken" && words.size() == 3) {
        leased.kind = Leased::Kind::taken;
        leased.holder = words[2].text;
    } else if (kind == "stored" && words.size() == 3) {
        leased.kind = Leased::Kind::stored;
        leased.stored = rules::WallTime{rules::Milliseconds{rules::parse_digits(words[2].text).value_or(0)}};
    } else if (kind == "uncacheable" && words.size() == 4) {
        leased.kind = Leased::Kind::uncacheable;
        leased.left = rules::Milliseconds{rules::parse_digits(words[2].text).value_or(1)};
        // A replica of another version may know a reason that this one does not.
        leased.reason = rules::not_stored_of(words[3].text).value_or(NotStored::status);
    } else {
        link_.counters().add(Counter::store_malformed);
        co_return Errc::store_malformed;
    }
    co_return leased;
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
    std::vector<std::string_view> args = {{}, {}, "1", name, lease.owner, why, life};
    const Result<Reply> reply = co_await run_script(link_, release_script(), std::move(args));
    co_return reply ? Errc::ok : reply.error();
}

asio::awaitable<Errc> RedisStore::forget_uncacheable(std::string key, std::string variant)
{
    if (link_.connection() == 0) co_return away();
    const std::string name = keys_.lease(key, variant);
    std::vector<std::string_view> args = {{}, {}, "1", name, "U", "", "0"};
    const Result<Reply> reply = co_await run_script(link_, release_script(), std::move(args));
    co_return reply ? Errc::ok : reply.error();
}

}  // namespace larder::proxy
