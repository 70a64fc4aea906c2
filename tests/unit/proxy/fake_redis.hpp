// Redis as the protocol sees it, in memory: what its scripts do, as one step each, without sockets. A Wire is one
// sidecar's connection to it: commands are carried out and replies handed over one by one, when the test says so.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "proxy/coherence/guards.hpp"
#include "proxy/coherence/log_names.hpp"
#include "proxy/coherence/purge_log.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/net/wake_up.hpp"
#include "proxy/store/store.hpp"
#include "rules/pattern/pattern.hpp"

namespace larder::proxy::test {

/// The data of a server: what a dump keeps and a flush loses.
struct RedisData {
    struct Value {
        Position position;
        std::string body;
        rules::WallTime stored;  // no two alike
    };
    Position counter = 0;  // 0: there is none
    Position floor = 0;
    std::vector<Record> records;
    std::map<std::string, Position> patterns;
    std::set<std::string> runs;
    std::map<std::string, Value> entries;
    std::map<std::string, std::string> leases;  // by entry: the owner, or `uncacheable`. A test makes them expire
};

struct FakeRedis {
    RedisData data;
    std::string run_id = "run-1";
    int runs_count = 1;
    Position clock = 1'000;  // rises always, as TIME does

    void restart(RedisData with)
    {
        data = std::move(with);
        run_id = "run-" + std::to_string(++runs_count);
    }

    Appended append(Record record)
    {
        record.previous = data.counter;
        record.position = std::max(data.counter + 1, ++clock);
        for (const std::string& pattern : record.patterns) data.patterns[pattern] = record.position;
        for (const std::string& key : record.keys) {
            data.entries.erase(named(key));
            data.leases.erase(named(key));
        }
        data.counter = record.position;
        data.records.push_back(record);
        return {record.previous, record.position};
    }

    LogSnapshot init()
    {
        const std::string run = guarded(Guard::run_id) ? run_id : "always the same";
        LogSnapshot snapshot;
        if (data.counter == 0 || data.floor == 0 || !data.runs.contains(run)) {
            Record record;
            record.type = RecordType::init;
            data.floor = append(record).position;
            data.patterns.clear();
            data.runs = {run};
            snapshot.raised = true;
        }
        snapshot.run_id = run;
        snapshot.position = data.counter;
        snapshot.floor = data.floor;
        snapshot.patterns.assign(data.patterns.begin(), data.patterns.end());
        snapshot.recent = data.records;
        return snapshot;
    }

    std::vector<Record> records_after(Position after) const
    {
        std::vector<Record> records;
        for (const Record& record : data.records)
            if (record.position > after) records.push_back(record);
        return records;
    }

    static constexpr std::string_view uncacheable = "U";

    /// As keys stand in names and records.
    static std::string named(std::string_view key) { return key_in_log(key); }

    StoreWrite store(const std::string& full_key, Position token, const std::string& body,
                     const std::string& owner = "")
    {
        const std::string key = named(full_key);
        const auto refuse = [](rules::NotStored why) { return StoreWrite{why, 0}; };
        if (!owner.empty()) release(key, owner);
        if (data.counter == 0) return refuse(rules::NotStored::log_gap);
        Position at = token;
        bool fenced = false;
        for (const Record& record : records_after(token)) {
            if (record.previous != at || record.type == RecordType::init) return refuse(rules::NotStored::log_gap);
            at = record.position;
            for (const std::string& one : record.keys) fenced |= one == key;
            for (const std::string& one : record.patterns) fenced |= rules::matches(one, full_key);
        }
        if (at != data.counter) return refuse(rules::NotStored::log_gap);
        if (fenced) return refuse(rules::NotStored::fenced);
        const auto present = data.entries.find(key);
        if (present != data.entries.end() && present->second.position > token) return refuse(rules::NotStored::newer);
        data.entries[key] = {data.counter, body, rules::WallTime{rules::Milliseconds{++clock}}};
        if (const auto held = data.leases.find(key); held != data.leases.end() && held->second == uncacheable)
            data.leases.erase(held);
        return {rules::NotStored::none, data.counter};
    }

    Leased lease(const FillLease& wanted, rules::WallTime seen, const std::string& doomed)
    {
        Leased leased;
        leased.counter = data.counter;
        const auto present = data.entries.find(named(wanted.key));
        if (present != data.entries.end() && present->second.stored != seen) {
            leased.kind = Leased::Kind::stored;
            leased.stored = present->second.stored;
            return leased;
        }
        std::string& holder = data.leases[named(wanted.key)];
        if (holder == uncacheable) {
            leased.kind = Leased::Kind::uncacheable;
            leased.reason = rules::NotStored::is_private;
            leased.left = rules::Milliseconds{1};
            return leased;
        }
        const bool taken = !holder.empty() && holder != doomed;
        if (!taken) holder = wanted.owner;
        leased.kind = taken ? Leased::Kind::taken : Leased::Kind::ours;
        leased.holder = holder;
        return leased;
    }
    void release(const std::string& full_key, const std::string& owner, bool is_uncacheable = false)
    {
        const std::string key = named(full_key);
        const auto held = data.leases.find(key);
        if (is_uncacheable)
            data.leases[key] = uncacheable;
        else if (held != data.leases.end() && held->second == owner)
            data.leases.erase(held);
    }
};

/// Something that was asked and is not answered yet.
template <class T>
struct Question {
    explicit Question(asio::io_context& context) : answered(context) {}
    WakeUp answered;
    std::optional<T> answer;
};

template <class T>
asio::awaitable<T> answer_to(std::shared_ptr<Question<T>> question)
{
    co_await question->answered.wait();
    co_return std::move(*question->answer);
}

class Wire {
  public:
    Wire(asio::io_context& context, FakeRedis& redis) : context_(context), redis_(redis) {}

    template <class T>
    asio::awaitable<rules::Result<T>> ask(bool writes, std::function<T(FakeRedis&)> command)
    {
        if (!up_) co_return rules::Errc::store_unreachable;
        auto question = std::make_shared<Question<rules::Result<T>>>(context_);
        Command sent;
        sent.writes = writes;
        sent.carry_out = [question, command](FakeRedis& redis) {
            rules::Result<T> result = command(redis);
            if (!question->answer) question->answer.emplace(std::move(result));
        };
        sent.hand_over = [question] { question->answered.wake(); };
        sent.fail = [question] {
            question->answer.emplace(rules::Errc::store_timeout);
            question->answered.wake();
        };
        commands_.push_back(std::move(sent));
        co_return co_await answer_to(question);
    }

    /// The same for who is no coroutine: tells `done` later. False: not connected.
    template <class T>
    bool begin(asio::awaitable<T> asked, Completion<T>& done)
    {
        if (connection() == 0) return false;
        asio::co_spawn(context_, std::move(asked), [&done](std::exception_ptr failure, T value) {
            if (failure) std::rethrow_exception(failure);
            done.complete(std::move(value));
        });
        return true;
    }

    std::uint64_t connection() const noexcept { return up_ ? connection_ : 0; }
    bool has_command() const noexcept { return !commands_.empty(); }
    bool has_reply() const noexcept { return !replies_.empty(); }
    bool has_late() const noexcept { return !late_.empty(); }
    std::size_t carried_out() const noexcept { return carried_out_; }
    std::size_t handed_over() const noexcept { return handed_over_; }

    /// The server takes the oldest command. True: it may have changed something.
    bool carry_out()
    {
        Command command = std::move(commands_.front());
        commands_.pop_front();
        ++carried_out_;
        command.carry_out(redis_);
        const bool wrote = command.writes;
        replies_.push_back(std::move(command));
        return wrote;
    }
    void hand_over()
    {
        const Command command = std::move(replies_.front());
        replies_.pop_front();
        ++handed_over_;
        command.hand_over();
    }
    /// The connection is lost and there is another one. What the server has not taken yet may reach it late.
    void reconnect()
    {
        auto lost = std::move(replies_);
        replies_.clear();
        for (Command& command : commands_) {
            if (command.writes) late_.push_back(command);
            lost.push_back(std::move(command));
        }
        commands_.clear();
        ++connection_;
        for (const Command& command : lost) command.fail();
    }
    /// Nobody is there any more to take a reply. What was sent may reach the server late.
    void orphan()
    {
        for (const Command& command : commands_)
            if (command.writes) late_.push_back(command);
        for (auto* commands : {&replies_, &commands_}) {
            for (Command& command : *commands) orphans_.push_back(std::move(command));
            commands->clear();
        }
    }
    void carry_out_late()
    {
        late_.front().carry_out(redis_);
        late_.pop_front();
    }
    /// For good: everything fails at once.
    void close()
    {
        up_ = false;
        for (const Command& command : orphans_) command.fail();
        orphans_.clear();
        reconnect();
    }

  private:
    struct Command {
        bool writes = false;
        std::function<void(FakeRedis&)> carry_out;
        std::function<void()> hand_over, fail;
    };
    asio::io_context& context_;
    FakeRedis& redis_;
    bool up_ = true;
    std::uint64_t connection_ = 1;
    std::deque<Command> commands_, replies_, late_, orphans_;
    std::size_t carried_out_ = 0, handed_over_ = 0;
};

class FakeLog final : public PurgeLog {
  public:
    explicit FakeLog(Wire& wire) : wire_(wire) {}

    std::optional<Position> position_here() const noexcept override { return std::nullopt; }
    std::optional<std::vector<Record>> records_here(Position) const override { return std::nullopt; }
    std::optional<LogSnapshot> snapshot_here() const override { return std::nullopt; }
    std::optional<Appended> append_here(Record) override { return std::nullopt; }
    std::uint64_t connection() const noexcept override { return wire_.connection(); }

    asio::awaitable<rules::Result<Position>> look() override
    {
        std::function<Position(FakeRedis&)> command = [](FakeRedis& redis) { return redis.data.counter; };
        return wire_.ask(false, std::move(command));
    }
    bool begin_look(Completion<rules::Result<Position>>& done) override { return wire_.begin(look(), done); }
    asio::awaitable<rules::Result<std::vector<Record>>> records_after(Position after) override
    {
        std::function<std::vector<Record>(FakeRedis&)> command = [after](FakeRedis& redis) {
            return redis.records_after(after);
        };
        return wire_.ask(false, std::move(command));
    }
    asio::awaitable<rules::Result<LogSnapshot>> init() override
    {
        std::function<LogSnapshot(FakeRedis&)> command = [](FakeRedis& redis) { return redis.init(); };
        return wire_.ask(true, std::move(command));
    }
    asio::awaitable<rules::Result<Appended>> append(Record record) override
    {
        std::function<Appended(FakeRedis&)> command = [record](FakeRedis& redis) { return redis.append(record); };
        return wire_.ask(true, std::move(command));
    }

  private:
    Wire& wire_;
};

inline std::shared_ptr<Entry> fake_entry(std::string key, std::string body)
{
    auto entry = std::make_shared<Entry>();
    entry->key = std::move(key);
    entry->expires = wall_now() + std::chrono::hours(1);
    entry->times.lifetime = std::chrono::hours(1);
    entry->set_body(std::move(body));
    return entry;
}

class FakeStore final : public Store {
  public:
    explicit FakeStore(Wire& wire) : wire_(wire) {}

    asio::awaitable<rules::Result<StoreRead>> get(const std::string& key, const std::string&) override
    {
        std::function<StoreRead(FakeRedis&)> command = [key, connection = wire_.connection()](FakeRedis& redis) {
            StoreRead read;
            read.counter = redis.data.counter;
            read.connection = connection;
            read.sent = instant_now();
            const auto found = redis.data.entries.find(FakeRedis::named(key));
            if (found == redis.data.entries.end()) return read;
            read.entry = fake_entry(key, found->second.body);
            read.entry->times.stored = found->second.stored;
            read.entry->position = found->second.position;
            return read;
        };
        return wire_.ask(false, std::move(command));
    }
    bool begin_get(const std::string& key, const std::string& variant,
                   Completion<rules::Result<StoreRead>>& done) override
    {
        return wire_.begin(get(key, variant), done);
    }
    bool begin_put(std::shared_ptr<const Entry> entry, Position token, FillLease& lease,
                   Completion<StoreWrite>& done) override
    {
        return wire_.begin(put(std::move(entry), token, lease), done);
    }
    bool begin_lease(const FillLease& wanted, rules::WallTime seen, Completion<rules::Result<Leased>>& done) override
    {
        return wire_.begin(lease(wanted, seen, std::string()), done);
    }
    asio::awaitable<StoreWrite> put(std::shared_ptr<const Entry> entry, Position token, FillLease& lease) override
    {
        std::function<StoreWrite(FakeRedis&)> command = [entry, token, owner = lease.owner](FakeRedis& redis) {
            return redis.store(std::string(entry->key), token, std::string(entry->body()), owner);
        };
        const rules::Result<StoreWrite> written = co_await wire_.ask(true, command);
        if (!written) co_return StoreWrite{rules::NotStored::store_failed, 0};
        lease.owner.clear();
        co_return *written;
    }
    asio::awaitable<rules::Result<Leased>> lease(FillLease wanted, rules::WallTime seen, std::string doomed) override
    {
        const std::uint64_t connection = wire_.connection();
        std::function<Leased(FakeRedis&)> command = [wanted, seen, doomed, connection](FakeRedis& redis) {
            Leased leased = redis.lease(wanted, seen, doomed);
            leased.connection = connection;
            return leased;
        };
        return wire_.ask(true, std::move(command));
    }
    asio::awaitable<rules::Result<LeaseLook>> look_at_lease(std::string key, std::string) override
    {
        std::function<LeaseLook(FakeRedis&)> command = [key, connection = wire_.connection()](FakeRedis& redis) {
            LeaseLook look;
            const auto held = redis.data.leases.find(FakeRedis::named(key));
            if (held != redis.data.leases.end()) look.holder = held->second;
            look.counter = redis.data.counter;
            look.sent = instant_now();
            look.connection = connection;
            return look;
        };
        return wire_.ask(false, std::move(command));
    }
    asio::awaitable<rules::Errc> release(FillLease lease, rules::NotStored why, rules::Milliseconds) override
    {
        std::function<bool(FakeRedis&)> command = [lease, why](FakeRedis& redis) {
            redis.release(lease.key, lease.owner, why != rules::NotStored::none);
            return true;
        };
        const rules::Result<bool> released = co_await wire_.ask(true, command);
        co_return released ? rules::Errc::ok : rules::Errc::store_unreachable;
    }
    asio::awaitable<rules::Errc> forget_uncacheable(std::string key, std::string) override
    {
        std::function<bool(FakeRedis&)> command = [key](FakeRedis& redis) {
            redis.release(key, std::string(FakeRedis::uncacheable));
            return true;
        };
        const rules::Result<bool> forgotten = co_await wire_.ask(true, command);
        co_return forgotten ? rules::Errc::ok : rules::Errc::store_unreachable;
    }

  private:
    Wire& wire_;
};

}  // namespace larder::proxy::test
