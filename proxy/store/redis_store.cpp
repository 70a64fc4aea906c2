#include "proxy/store/redis_store.hpp"

#include "proxy/net/clock.hpp"
#include "proxy/redis/scripts.hpp"
#include "proxy/store/entry_codec.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

using rules::Errc;
using rules::NotStored;
using rules::Result;

Errc RedisStore::away() noexcept
{
    link_.counters().add(Counter::store_errors);
    return link_.send_error();
}

asio::awaitable<Result<StoreRead>> RedisStore::get(std::string key, std::string variant)
{
    if (link_.connection() == 0) co_return away();
    const std::string name = keys_.entry(key, variant);
    const std::string_view args[] = {"MGET", name, keys_.counter()};
    StoreRead read;
    read.connection = link_.connection();
    read.sent = instant_now();  // not later than the command: a look is dated by it
    link_.counters().add(Counter::store_gets);
    const Result<Reply> reply = co_await link_.execute(args);
    if (!reply) co_return reply.error();
    if (reply->is_error()) co_return Errc::store_refused;
    if (!reply->is_array() || reply->elements.size() != 2) {
        link_.counters().add(Counter::store_malformed);
        co_return Errc::store_refused;
    }
    const Reply& value = reply->elements[0];
    const Reply& counter = reply->elements[1];
    // A counter that is no number is as good as none: the log starts over.
    if (counter.is_text()) read.counter = rules::parse_digits(counter.text).value_or(0);
    if (value.is_text()) {
        read.entry = decode_entry(value.text, key, variant);
        if (!read.entry) link_.counters().add(Counter::store_malformed);
    }
    co_return read;
}

asio::awaitable<StoreWrite> RedisStore::put(std::shared_ptr<const Entry> entry, Position token)
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
    const std::string lease = keys_.lease(entry->key, entry->variant);
    const std::string position = std::to_string(token);
    const std::string milliseconds = std::to_string(left.count());
    const std::string payload = encode_entry(*entry);
    std::vector<std::string_view> args = {
        {}, {}, "4", name, keys_.counter(), keys_.stream(), lease, position, entry->key, milliseconds, "", payload};
    link_.counters().add(Counter::store_puts);
    const Result<Reply> reply = co_await run_script(link_, store_script(), std::move(args));
    if (!reply) co_return result;
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

}  // namespace larder::proxy
