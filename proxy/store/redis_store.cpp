#include "proxy/store/redis_store.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>

#include "proxy/net/clock.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/redis/scripts.hpp"
#include "proxy/store/entry_codec.hpp"
#include "rules/base/appender.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

using rules::Errc;
using rules::NotStored;
using rules::Result;

namespace {

constexpr std::size_t value_keep_bytes = 64 * 1024;  // of memory for the next one

asio::awaitable<Result<StoreRead>> failed(Errc why) { co_return why; }

std::string random_id()
{
    std::random_device random;
    std::array<char, 17> digits;
    const auto low = random(), high = random();
    std::snprintf(digits.data(), digits.size(), "%08x%08x", high, low);
    return digits.data();
}

}  // namespace

RedisStore::RedisStore(Link& link, const Keyspace& keys)
    : link_(link),
      keys_(keys),
      blocks_(Blocks::of(link.context())),
      incoming_(keys.incoming() + random_id() + "-"),
      get_{{{"MGET"}, {keys.entries(), true}, {keys.counter()}}},
      take_{{{"SET"}, {keys.leases(), true}, {"", true}, {"NX"}, {"PX"}, {std::to_string(lease_life.count())}},
            {{"GETRANGE"}, {keys.entries(), true}, {"0"}, {"127"}},
            {{"GET"}, {keys.counter()}}},
      put_{{{"SET"}, {incoming_, true}, {"", true}, {"PX"}, {"", true}},
           {{"EVALSHA"},
            {store_script().sha1()},
            {"5"},
            {keys.entries(), true},
            {incoming_, true},
            {keys.counter()},
            {keys.stream()},
            {keys.leases(), true},
            {"", true},
            {"", true},
            {"", true},
            {"", true}}}
{
}

Errc RedisStore::away() noexcept
{
    link_.counters().add(Counter::store_errors);
    return link_.send_error();
}

void RedisStore::report_malformed(std::string_view name, bool is_of_other_version, rules::Instant now)
{
    link_.counters().add(Counter::store_malformed);
    constexpr std::chrono::seconds log_every{10};
    if (malformed_logged_ != rules::Instant{} && now - malformed_logged_ < log_every) return;
    malformed_logged_ = now;
    log_event(config::LogLevel::warn,
              is_of_other_version
                  ? "a stored response is of another version of Larder, and is fetched anew: replicas of two versions "
                    "that share a namespace replace what the other has stored"
                  : "a stored response is not as it was written, and is not served: who else writes to this Redis?",
              {{"key", name}});
}

/// One `get` under way. Belongs to itself from `send` on.
class RedisStore::Reading final : public LinkOperation {
  public:
    Reading(RedisStore& store, const std::string& k, const std::string& v, Completion<Result<StoreRead>>& done)
        : LinkOperation(StoreOperation::get, texts),
          key(k),
          variant(v),
          store_(store),
          blocks_(store.blocks_),
          done_(done)
    {
    }

    bool send()
    {
        Link& link = store_.link_;
        const NameEnd name(key, variant);
        look.connection = link.connection();
        link.counters().add(Counter::store_gets);
        const CommandFrame::Rest rests[] = {name.pieces()};
        return link.send(*this, store_.get_, rests);
    }
    void complete(Result<Reply>&& reply) override
    {
        const auto self = blocks_.own(this);
        look.sent = sent();  // not later than the command: a look is dated by it
        done_.complete(store_.understand(*this, std::move(reply)));
    }
    void complete_in_place(std::span<const std::optional<std::string_view>> reply,
                           std::unique_ptr<char[]>& large) override
    {
        const auto self = blocks_.own(this);
        look.sent = sent();
        if (reply[1]) store_.take_counter(*this, *reply[1]);
        if (reply[0]) store_.take_entry(*this, *reply[0], large);
        done_.complete(std::move(look));
    }
    void abandon() noexcept override
    {
        const auto self = blocks_.own(this);
        done_.abandon();
    }

    const std::string& key;
    const std::string& variant;
    StoreRead look;

  private:
    static constexpr std::uint8_t texts = 2;  // value and counter

    RedisStore& store_;
    Blocks& blocks_;  // of its own: one that is abandoned may outlive the store
    Completion<Result<StoreRead>>& done_;
};

void RedisStore::take_counter(Reading& reading, std::string_view text)
{
    // As a rule it is as it was the last time. One that is no number is as good as none: the log starts over.
    if (text != counter_text_) {
        counter_text_ = text;
        counter_ = rules::parse_digits(text).value_or(0);
    }
    reading.look.counter = counter_;
}

/// @param block  where the value stands, if the entry may keep that; null: it keeps a copy
void RedisStore::take_entry(Reading& reading, std::string_view value, std::unique_ptr<char[]>& block)
{
    bool is_other = block && is_of_other_version(value);  // known before: a block is gone with what cannot be read
    StoreRead& read = reading.look;
    if (block) {
        read.entry = decode_entry(std::move(block), value.size(), reading.key, reading.variant);
    } else {
        read.entry = decode_entry(value, reading.key, reading.variant);
        is_other = !read.entry && is_of_other_version(value);
    }
    // Both were read at once, and no honest entry is ahead of the counter: one that is would outlive each purge by
    // pattern. (Without a counter the log starts over, and voids what is stored.)
    if (read.entry && read.entry->position.load(std::memory_order_relaxed) > read.counter) read.entry.reset();
    if (!read.entry) report_malformed(keys_.entry(reading.key, reading.variant), is_other, read.sent);
}

Result<StoreRead> RedisStore::understand(Reading& reading, Result<Reply>&& reply)
{
    if (!reply) return reply.error();
    if (reply->is_error()) return Errc::store_refused;
    if (!reply->is_array() || reply->elements.size() != 2) {
        link_.counters().add(Counter::store_malformed);
        return Errc::store_refused;
    }
    const Reply &value = reply->elements[0], &counter = reply->elements[1];
    if (counter.is_text()) take_counter(reading, counter.text);
    std::unique_ptr<char[]> no_block;
    if (value.is_text()) take_entry(reading, value.text, no_block);
    return std::move(reading.look);
}

bool RedisStore::begin_get(const std::string& key, const std::string& variant, Completion<Result<StoreRead>>& done)
{
    if (link_.connection() == 0) return false;
    auto reading = blocks_.make<Reading>(*this, key, variant, done);
    if (!reading->send()) return false;
    reading.release();
    return true;
}

asio::awaitable<Result<StoreRead>> RedisStore::get(const std::string& key, const std::string& variant)
{
    if (link_.connection() == 0) return failed(away());
    auto begin = [this, &key, &variant](Completion<Result<StoreRead>>& done) { return begin_get(key, variant, done); };
    auto otherwise = [this] { return Result<StoreRead>(link_.send_error()); };
    return await_completion<Result<StoreRead>>(link_.context(), std::move(begin), std::move(otherwise));
}

// --- puts ------------------------------------------------------------------------------------------------------------

/// Removes what waits for a store script that has failed. Belongs to itself; nobody waits for it.
class RedisStore::Dropping final : public LinkOperation {
  public:
    static void send(Link& link, std::string_view name)
    {
        auto dropping = std::make_unique<Dropping>();
        const std::string_view args[] = {"UNLINK", name};
        if (link.send(*dropping, args)) dropping.release();
    }
    Dropping() : LinkOperation(StoreOperation::put) {}
    void complete(Result<Reply>&&) override { delete this; }
    void abandon() noexcept override { delete this; }
};

class RedisStore::Putting final : public AnsweredCall<StoreWrite> {
  public:
    Putting(RedisStore& store, std::shared_ptr<const Entry> entry, Position token, FillLease& lease,
            Completion<StoreWrite>& done)
        : AnsweredCall(store.link_, store_script(), done),
          store_(store),
          entry_(std::move(entry)),
          token_(token),
          lease_(lease)
    {
        // Of its own: commands of a connection that was lost may still run, between those of the next.
        rules::Appender out(incoming_, store.incoming_.size() + 20);
        (out += store.incoming_) += std::uint64_t{++store.puts_count_};
    }

    /// True: it belongs to itself from now on.
    static bool begin(std::unique_ptr<Putting> putting)
    {
        const bool sent = putting->entry_->groups.empty() ? putting->send_framed() : putting->send();
        if (sent) putting.release();
        return sent;
    }

  private:
    /// What `send` sends, where only names, times and the value differ from the last one.
    bool send_framed()
    {
        encode();
        Texts& texts = store_.texts_;
        texts.position = std::to_string(token_);
        const Entry& entry = *entry_;
        const BriefKey brief(entry.key);
        const NameEnd name(entry.key, entry.variant), lease(lease_.key, lease_.variant);
        const std::string_view number = std::string_view(incoming_).substr(store_.incoming_.size());
        const std::string_view value = texts.value, life = texts.milliseconds, position = texts.position,
                               owner = lease_.owner, key = entry.key, brief_key = brief.text();
        const CommandFrame::Rest rests[] = {{&number, 1}, {&value, 1},    {&life, 1},     name.pieces(),
                                            {&number, 1}, lease.pieces(), {&position, 1}, {&owner, 1},
                                            {&key, 1},    {&brief_key, 1}};
        return store_.link_.send(*this, store_.put_, rests);
    }
    /// The value, and how long it may live.
    void encode()
    {
        Texts& texts = store_.texts_;
        texts.milliseconds = std::to_string(std::max<std::int64_t>(1, (entry_->expires - wall_now()).count()));
        encode_entry(*entry_, token_, texts.value);
    }
    void add_first(Arguments& args) override
    {
        encode();
        const Texts& texts = store_.texts_;
        for (const std::string_view arg :
             {std::string_view("SET"), std::string_view(incoming_), std::string_view(texts.value),
              std::string_view("PX"), std::string_view(texts.milliseconds)})
            args.push_back(arg);
    }
    void add_arguments(Arguments& args) override
    {
        Texts& texts = store_.texts_;
        const Entry& entry = *entry_;
        store_.keys_.entry_to(texts.entry, entry.key, entry.variant);
        store_.keys_.lease_to(texts.lease, lease_.key, lease_.variant);
        texts.position = std::to_string(token_);
        texts.brief.clear();
        const BriefKey& brief = texts.brief.emplace_back(entry.key);
        for (const std::string_view arg :
             {std::string_view("5"), std::string_view(texts.entry), std::string_view(incoming_),
              std::string_view(store_.keys_.counter()), std::string_view(store_.keys_.stream()),
              std::string_view(texts.lease), std::string_view(texts.position), std::string_view(lease_.owner),
              std::string_view(entry.key), brief.text()})
            args.push_back(arg);
        for (const std::string& group : entry.groups) {
            args.push_back(group);
            if (group.size() > BriefKey::longest) args.push_back(texts.brief.emplace_back(group).text());
        }
    }
    void take_earlier(const Reply& reply) override { is_sent_ahead_ = !reply.is_error(); }
    StoreWrite understand(Result<Reply>&& reply) override
    {
        StoreWrite result;
        result.refused = NotStored::store_failed;
        if (!reply) {
            // It would stay until it expires: of each miss, where a user may not run what is in the script.
            const bool is_left = is_sent_ahead_ && reply.error() == Errc::store_refused;
            if (is_left && store_.link_.connection() != 0) Dropping::send(store_.link_, incoming_);
            return result;
        }
        lease_.owner.clear();
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
        return result;
    }

    RedisStore& store_;
    const std::shared_ptr<const Entry> entry_;
    const Position token_;
    FillLease& lease_;
    std::string incoming_;
    bool is_sent_ahead_ = false;
};

bool RedisStore::begin_put(std::shared_ptr<const Entry> entry, Position token, FillLease& lease,
                           Completion<StoreWrite>& done)
{
    if (entry->expires <= wall_now()) return false;
    if (link_.connection() == 0) {  // before the work of encoding
        away();
        return false;
    }
    link_.counters().add(Counter::store_puts);
    const bool begun = Putting::begin(std::make_unique<Putting>(*this, std::move(entry), token, lease, done));
    if (texts_.value.capacity() > value_keep_bytes) texts_.value = std::string();
    return begun;
}

asio::awaitable<StoreWrite> RedisStore::put(std::shared_ptr<const Entry> entry, Position token, FillLease& lease)
{
    auto begin = [this, entry = std::move(entry), token, &lease](Completion<StoreWrite>& done) {
        return begin_put(entry, token, lease, done);
    };
    auto otherwise = [] { return StoreWrite{NotStored::store_failed, 0}; };
    return await_completion<StoreWrite>(link_.context(), std::move(begin), std::move(otherwise));
}

}  // namespace larder::proxy
