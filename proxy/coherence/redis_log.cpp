#include "proxy/coherence/redis_log.hpp"

#include <array>
#include <atomic>
#include <boost/asio/post.hpp>
#include <unordered_map>
#include <utility>

#include "proxy/coherence/guards.hpp"
#include "proxy/coherence/log_names.hpp"
#include "proxy/coherence/log_replies.hpp"
#include "proxy/coherence/write_id.hpp"
#include "proxy/net/waiter.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/redis/scripts.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

namespace {

using rules::Errc;
using rules::Milliseconds;
using rules::Result;

constexpr std::size_t page_size = 1000;
constexpr std::string_view page_size_text = "1000";
constexpr std::size_t targets_limit = 500;  // of one script call: Lua's stack
constexpr Milliseconds retain_longer{60'000};
constexpr int init_attempts = 3;
constexpr std::size_t records_least = 1000;
constexpr std::size_t record_overhead_bytes = 128;  // in the stream, beside the texts

asio::awaitable<Result<Position>> failed(Errc why) { co_return why; }

}  // namespace

// The look under way, those who wait for it, and those who wait for the next one.
class RedisLog::Look final : public LinkOperation {
  public:
    using Waiting = Completion<Result<Position>>;

    Look(Link& link, std::string_view counter) : LinkOperation(StoreOperation::look), link_(link), args_{"GET", counter}
    {
    }
    ~Look()
    {
        for (Waiting* waiting : present_) waiting->abandon();
        for (Waiting* waiting : next_) waiting->abandon();
    }

    void join(Waiting* waiting)
    {
        if (!under_way_ && !start()) {
            // Lost between the question and here. A completion must not come from within.
            asio::post(link_.context(), [this, waiting] { waiting->complete(link_.send_error()); });
            return;
        }
        // One that has left was perhaps answered before this waiter asked: wait for the next.
        (batch_ == link_.batch() ? present_ : next_).push_back(waiting);
    }

    void complete(Result<Reply>&& reply) override
    {
        under_way_ = false;
        Result<Position> position = Position{0};
        if (!reply)
            position = reply.error();
        else if (reply->is_error())
            position = Errc::store_refused;
        else if (reply->is_text())
            position = rules::parse_digits(reply->text).value_or(0);

        const auto answered = std::exchange(present_, {});
        const auto following = std::exchange(next_, {});
        if (!following.empty() && start())
            present_ = following;
        else
            finish(following, link_.send_error());
        finish(answered, position);
    }
    void abandon() noexcept override { under_way_ = false; }

  private:
    bool start()
    {
        batch_ = link_.batch();
        under_way_ = link_.send(*this, args_);
        return under_way_;
    }
    static void finish(const std::vector<Waiting*>& waiters, const Result<Position>& position)
    {
        for (Waiting* waiting : waiters) {
            Result<Position> copy = position;
            waiting->complete(std::move(copy));
        }
    }

    Link& link_;
    std::array<std::string_view, 2> args_;
    bool under_way_ = false;
    std::uint64_t batch_ = 0;
    std::vector<Waiting*> present_, next_;
};

RedisLog::RedisLog(Link& link, const Keyspace& keys, RedisLogOptions options)
    : link_(link), keys_(keys), options_(options), look_(std::make_unique<Look>(link, keys.counter()))
{
}

RedisLog::~RedisLog() = default;

Milliseconds RedisLog::retain() const noexcept { return options_.mark_life + retain_longer; }

Errc RedisLog::malformed() noexcept
{
    link_.counters().add(Counter::store_malformed);
    return Errc::store_malformed;
}

asio::awaitable<Result<Position>> RedisLog::look()
{
    if (link_.connection() == 0) return failed(link_.send_error());
    auto start = [look = look_.get()](auto&& handler) {
        using Handler = std::decay_t<decltype(handler)>;
        look->join(Waiter<Look::Waiting, Result<Position>, Handler>::make(std::move(handler)));
    };
    return asio::async_initiate<decltype(asio::use_awaitable), void(Result<Position>)>(std::move(start),
                                                                                       asio::use_awaitable);
}

bool RedisLog::begin_look(Completion<Result<Position>>& done)
{
    if (link_.connection() == 0) return false;
    look_->join(&done);
    return true;
}

asio::awaitable<Result<std::vector<Record>>> RedisLog::records_after(Position after) { return range(after, "+"); }

// Records after a position up to and with `to`, in pages.
asio::awaitable<Result<std::vector<Record>>> RedisLog::range(Position after, std::string to)
{
    std::vector<Record> records;
    for (;;) {
        const std::string from = "(" + std::to_string(after) + "-0";
        const std::string_view args[] = {"XRANGE", keys_.stream(), from, to, "COUNT", page_size_text};
        Result<Reply> reply = co_await ask(args);
        if (!reply) co_return reply.error();
        if (!reply->is_array()) co_return malformed();
        for (Reply& element : reply->elements) {
            auto record = parse_record(element);
            if (!record || record->position <= after) co_return malformed();
            after = record->position;
            name_as_in_log(*record);
            records.push_back(std::move(*record));
        }
        if (reply->elements.size() < page_size) co_return records;
    }
}

// An error reply of the server is an error here.
asio::awaitable<Result<Reply>> RedisLog::ask(std::span<const std::string_view> args)
{
    Result<Reply> reply = co_await link_.execute(args);
    if (reply && reply->is_error()) co_return Errc::store_refused;
    co_return reply;
}

asio::awaitable<Errc> RedisLog::ask_run_id(std::uint64_t connection)
{
    if (run_id_of_ == connection) co_return Errc::ok;
    co_await warn_of_eviction_policy();
    // Some managed servers hide the one or the other, or refuse INFO.
    constexpr std::pair<std::string_view, std::string_view> places[] = {{"server", "run_id:"},
                                                                        {"replication", "master_replid:"}};
    std::string found;
    for (const auto& [section, field] : places) {
        const std::string_view args[] = {"INFO", section};
        const Result<Reply> reply = co_await link_.execute(args);
        if (!reply) co_return reply.error();
        if (!reply->is_error()) found = info_field(reply->text, field);
        if (!found.empty()) break;
    }
    run_id_ = std::move(found);
    run_id_of_ = connection;
    co_return Errc::ok;
}

asio::awaitable<std::optional<ServerMemory>> RedisLog::ask_memory()
{
    const std::string_view args[] = {"INFO", "memory"};
    const Result<Reply> reply = co_await link_.execute(args);
    if (!reply || !reply->is_text()) co_return std::nullopt;
    const std::string used = info_field(reply->text, "used_memory:"), limit = info_field(reply->text, "maxmemory:");
    ServerMemory memory;
    memory.used_bytes = rules::parse_digits(used).value_or(0);
    memory.limit_bytes = rules::parse_digits(limit).value_or(0);
    co_return memory;
}

// Once in a process. A server that may neither evict nor take more refuses purges when it is full.
asio::awaitable<void> RedisLog::warn_of_eviction_policy()
{
    static std::atomic<bool> said{false};
    if (said.load(std::memory_order_relaxed)) co_return;
    const std::string_view args[] = {"INFO", "memory"};
    const Result<Reply> reply = co_await link_.execute(args);
    if (!reply || !reply->is_text()) co_return;
    const std::string limit = info_field(reply->text, "maxmemory:");
    const bool never_full = limit.empty() || limit == "0";
    if (never_full || info_field(reply->text, "maxmemory_policy:") != "noeviction" || said.exchange(true)) co_return;
    log_event(config::LogLevel::warn, "store will refuse purges when its memory is full",
              {{"maxmemory_policy", std::string_view("noeviction")},
               {"maxmemory_bytes", std::string_view(limit)},
               {"remedy", std::string_view("set maxmemory-policy to volatile-lru or volatile-lfu")}});
}

asio::awaitable<Result<LogSnapshot>> RedisLog::init()
{
    const std::uint64_t connection = link_.connection();
    if (connection == 0) co_return link_.send_error();
    const Errc asked = co_await ask_run_id(connection);
    if (asked != Errc::ok) co_return asked;

    for (int attempt = 0; attempt < init_attempts; ++attempt) {
        LogSnapshot snapshot;
        const std::string_view run_id = guarded(Guard::run_id) ? std::string_view(run_id_) : "always the same";
        const std::string kept = std::to_string(retain().count());
        const std::string layout = "shards=" + std::to_string(keys_.shards());
        std::vector<std::string_view> args = {"4",          keys_.counter(), keys_.stream(), keys_.patterns(),
                                              keys_.conf(), run_id,          kept,           layout};
        const Result<Reply> reply = co_await run_script(link_, init_script(), std::move(args));
        if (!reply) co_return reply.error();
        if (!reply->is_array() || reply->elements.size() != 4) co_return malformed();
        if (reply->elements[3].text != layout) co_return Errc::store_layout;
        const auto position = rules::parse_digits(reply->elements[0].text);
        const auto server_time = rules::parse_digits(reply->elements[1].text);
        if (!position || !server_time) co_return malformed();
        snapshot.position = *position;
        snapshot.raised = reply->elements[2].integer == 1;

        const Errc read = co_await read_patterns(snapshot);
        if (read != Errc::ok) co_return read;

        // Positions are the server's microseconds, or run ahead of them. Other sidecars' marks may live longer than
        // ours.
        const auto span = static_cast<std::uint64_t>(std::chrono::microseconds{retain()}.count());
        const std::uint64_t newest = std::min(*position, *server_time);
        const std::uint64_t from = newest > span ? newest - span : 0;
        Result<std::vector<Record>> recent = co_await range(from, std::to_string(*position) + "-0");
        if (!recent) co_return recent.error();
        snapshot.recent = std::move(*recent);

        // Once more, and last: patterns may have been forgotten between two pages.
        const std::string_view score[] = {"ZSCORE", keys_.patterns(), "f"};
        const Result<Reply> floor = co_await ask(score);
        if (!floor) co_return floor.error();
        if (link_.connection() != connection) co_return Errc::store_unreachable;
        const auto last = rules::parse_digits(floor->text);
        if (!last) continue;  // lost meanwhile: INIT raises it
        snapshot.floor = std::max(snapshot.floor, *last);
        // A server that hides who it is may be another one at each connection: then the floor, which INIT has raised
        // for it, stands for its run.
        snapshot.run_id = run_id.empty() ? "floor-" + std::to_string(*last) : std::string(run_id);
        co_return snapshot;
    }
    co_return malformed();
}

asio::awaitable<Errc> RedisLog::read_patterns(LogSnapshot& snapshot)
{
    // By score and inclusive, not by rank: members move up while we read. Nothing is missed, some are met twice.
    std::unordered_map<std::string, Position> seen;
    std::string from = "-inf";
    std::size_t limit = page_size;
    for (;;) {
        const std::string limit_text = std::to_string(limit);
        const std::string_view args[] = {"ZRANGEBYSCORE", keys_.patterns(), from, "+inf",
                                         "WITHSCORES",    "LIMIT",          "0",  limit_text};
        Result<Reply> reply = co_await ask(args);
        if (!reply) co_return reply.error();
        if (!reply->is_array() || reply->elements.size() % 2 != 0) co_return malformed();
        std::vector<Reply>& elements = reply->elements;
        for (std::size_t i = 0; i < elements.size(); i += 2) {
            const std::string& member = elements[i].text;
            const auto score = rules::parse_digits(elements[i + 1].text);
            if (member.empty() || !score) co_return malformed();
            if (member == "f") {
                snapshot.floor = std::max(snapshot.floor, *score);
            } else if (member[0] == 'p') {
                Position& last = seen[pattern_in_log(std::string_view(member).substr(1))];
                last = std::max(last, *score);
            }  // "r<run id>" is the script's affair
        }
        if (elements.size() < 2 * limit) break;
        std::string last = elements.back().text;
        if (last == from) limit *= 2;  // a whole page of one score
        from = std::move(last);
    }
    snapshot.patterns.reserve(seen.size());
    while (!seen.empty()) {
        auto node = seen.extract(seen.begin());
        snapshot.patterns.emplace_back(std::move(node.key()), node.mapped());
    }
    co_return Errc::ok;
}

asio::awaitable<Result<Appended>> RedisLog::append(Record record)
{
    const std::size_t targets = record.keys.size() + record.patterns.size();
    std::size_t from = 0;
    for (std::size_t part = 0;; ++part) {
        // Each part opens a mark of its own; the commit is cut in the same places and closes them.
        std::string write_id = record.write_id;
        if (part > 0 && !write_id.empty()) write_id = write_id_of_part(write_id, part);
        const std::size_t to = std::min(targets, from + targets_limit);
        const Result<Appended> appended = co_await append_part(record, std::move(write_id), from, to);
        if (!appended || to == targets) co_return appended;
        from = to;
    }
}

// Targets [from, to) of the record, counted through the patterns first and then the keys.
asio::awaitable<Result<Appended>> RedisLog::append_part(const Record& record, std::string write_id, std::size_t from,
                                                        std::size_t to)
{
    const std::size_t patterns_count = record.patterns.size();
    const std::size_t patterns_from = std::min(from, patterns_count), patterns_to = std::min(to, patterns_count);
    const std::size_t keys_from = from - patterns_from, keys_to = to - patterns_to;
    const std::size_t keys_count = keys_to - keys_from;

    std::vector<std::string> names;
    names.reserve(2 * keys_count);
    for (std::size_t i = keys_from; i < keys_to; ++i) names.push_back(keys_.entry(record.keys[i]));
    for (std::size_t i = keys_from; i < keys_to; ++i) names.push_back(keys_.lease(record.keys[i]));

    const std::string names_count = std::to_string(3 + names.size());
    const char type = static_cast<char>(record.type);
    const std::string life = std::to_string(record.life.count());
    const std::string kept = std::to_string(std::max(retain(), record.life + retain_longer).count());
    std::size_t bytes = record_overhead_bytes + write_id.size();
    for (std::size_t i = patterns_from; i < patterns_to; ++i) bytes += record.patterns[i].size();
    for (std::size_t i = keys_from; i < keys_to; ++i) bytes += record.keys[i].size();
    const std::size_t records_kept = std::max(records_least, options_.stream_bytes / bytes);
    const std::string records_limit = std::to_string(std::min(options_.records_limit, records_kept));
    const std::string patterns_limit = std::to_string(options_.patterns_limit);
    const std::string patterns_here = std::to_string(patterns_to - patterns_from);

    std::vector<std::string_view> args = {names_count, keys_.counter(), keys_.stream(), keys_.patterns()};
    args.reserve(args.size() + names.size() + 7 + (to - from));
    args.insert(args.end(), names.begin(), names.end());
    const std::string_view options[] = {{&type, 1}, write_id, life, kept, records_limit, patterns_limit, patterns_here};
    args.insert(args.end(), std::begin(options), std::end(options));
    for (std::size_t i = patterns_from; i < patterns_to; ++i) args.push_back(record.patterns[i]);
    for (std::size_t i = keys_from; i < keys_to; ++i) args.push_back(record.keys[i]);

    const Result<Reply> reply = co_await run_script(link_, purge_script(), std::move(args));
    if (!reply) co_return reply.error();
    if (!reply->is_array() || reply->elements.size() != 2) co_return malformed();
    const auto previous = rules::parse_digits(reply->elements[0].text);
    const auto position = rules::parse_digits(reply->elements[1].text);
    if (!previous || !position) co_return malformed();
    Appended appended;
    appended.previous = *previous;
    appended.position = *position;
    co_return appended;
}

}  // namespace larder::proxy
