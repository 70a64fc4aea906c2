#include "proxy/coherence/local_log.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <optional>
#include <thread>

#include "proxy/coherence/replica.hpp"
#include "proxy/coherence/shared_log_state.hpp"
#include "proxy/net/clock.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace std::chrono_literals;

namespace {

Record purge(std::vector<std::string> keys, std::vector<std::string> patterns = {})
{
    Record record;
    record.keys = std::move(keys);
    record.patterns = std::move(patterns);
    return record;
}

Record marking(RecordType type, std::string write_id, rules::Milliseconds life, std::string key)
{
    Record record = purge({std::move(key)});
    record.type = type;
    record.write_id = std::move(write_id);
    record.life = life;
    return record;
}

// Runs one question to its end.
template <class T>
T answer(asio::awaitable<rules::Result<T>> question)
{
    asio::io_context context;
    std::optional<T> result;
    asio::co_spawn(context, std::move(question), [&](std::exception_ptr failure, rules::Result<T> value) {
        if (!failure && value) result = std::move(*value);
    });
    context.run();
    REQUIRE(result);
    return std::move(*result);
}

}  // namespace

TEST_CASE("positions of the log in the process begin at the wall clock in microseconds and rise with every record")
{
    const auto before = static_cast<Position>(wall_now().time_since_epoch().count()) * 1000;
    LocalLog log;
    Position last = *log.position_here();
    CHECK(last >= before);
    CHECK(std::to_string(last).size() == 16);
    for (int i = 0; i < 1000; ++i) {  // far more than one in a millisecond
        const Appended appended = *log.append_here(purge({"a"}));
        REQUIRE(appended.previous == last);
        REQUIRE(appended.position > last);
        REQUIRE(*log.position_here() == appended.position);
        last = appended.position;
    }
}

TEST_CASE("records after a position come in order and form a chain from it")
{
    LocalLog log;
    const Position begin = *log.position_here();
    CHECK(log.records_here(begin)->empty());
    const Appended first = *log.append_here(purge({"a"}));
    const Appended second = *log.append_here(purge({"b"}, {"p*"}));
    const auto all = *log.records_here(begin);
    REQUIRE(all.size() == 2);
    CHECK(all[0].previous == begin);
    CHECK(all[0].position == first.position);
    CHECK(all[1].previous == first.position);
    CHECK(all[1].position == second.position);
    CHECK(all[1].patterns == std::vector<std::string>{"p*"});
    CHECK(log.records_here(first.position)->size() == 1);
    CHECK(log.records_here(second.position)->empty());
}

TEST_CASE("a position that was trimmed away, or that the log never gave, has no records after it")
{
    LocalLog log{3};
    const Position begin = *log.position_here();
    std::vector<Position> positions;
    for (int i = 0; i < 5; ++i) positions.push_back(log.append_here(purge({"a"}))->position);
    CHECK_FALSE(log.records_here(begin));
    CHECK_FALSE(log.records_here(positions[0]));
    CHECK(log.records_here(positions[1])->size() == 3);
    CHECK_FALSE(log.records_here(positions[1] - 1));
    CHECK_FALSE(log.records_here(positions[4] + 1));
}

TEST_CASE("a snapshot begins with the floor at the log's beginning, and holds each pattern's last position")
{
    LocalLog log;
    const LogSnapshot fresh = *log.snapshot_here();
    CHECK(fresh.run_id == "local");
    CHECK(fresh.position == *log.position_here());
    CHECK(fresh.floor == fresh.position);
    log.append_here(purge({}, {"a*"}));
    log.append_here(purge({"k"}, {"b*"}));
    const Position last = log.append_here(purge({}, {"a*"}))->position;
    const LogSnapshot later = *log.snapshot_here();
    CHECK(later.position == last);
    CHECK(later.patterns.size() == 2);
    for (const auto& [pattern, position] : later.patterns) CHECK((position == last) == (pattern == "a*"));
}

TEST_CASE("a snapshot opens the marks that are open now and no others")
{
    LocalLog log;
    log.append_here(marking(RecordType::prepare, "w-1", 60s, "open"));
    log.append_here(marking(RecordType::prepare, "w-2", 60s, "committed"));
    log.append_here(marking(RecordType::commit, "w-2", 0ms, "committed"));
    log.append_here(marking(RecordType::prepare, "w-3", 60s, "settling"));
    log.append_here(marking(RecordType::commit, "w-3", 50s, "settling"));
    log.append_here(marking(RecordType::prepare, "w-4", 0ms, "ended"));
    const rules::Instant now = instant_now();
    Replica replica;
    replica.reset(*log.snapshot_here(), now);
    CHECK(replica.marked("open", now));
    CHECK(replica.marked("settling", now));
    CHECK_FALSE(replica.marked("settling", now + 50s));
    CHECK_FALSE(replica.marked("committed", now));
    CHECK_FALSE(replica.marked("ended", now));
}

TEST_CASE("above its cap the log forgets the oldest tenth of the patterns and raises the floor to the newest of them")
{
    LocalLog log{100'000, 100};
    std::vector<Position> positions;
    for (int i = 0; i <= 100; ++i) positions.push_back(log.append_here(purge({}, {std::to_string(i) + "*"}))->position);
    const LogSnapshot snapshot = *log.snapshot_here();
    CHECK(snapshot.patterns.size() == 90);
    CHECK(snapshot.floor == positions[10]);
    CHECK(snapshot.position == positions[100]);
    Replica replica;
    replica.reset(snapshot, instant_now());
    CHECK(replica.matched_pattern_since("0x", positions[0] - 1) == Since::matched);
    CHECK(replica.matched_pattern_since("none", positions[9]) == Since::matched);
    CHECK(replica.matched_pattern_since("none", positions[10]) == Since::clean);
}

TEST_CASE("records and patterns are bounded by their size as well as by their number")
{
    constexpr std::size_t records_bytes = 100'000, patterns_bytes = 50'000;
    LocalLog log{100'000, 10'000, records_bytes, patterns_bytes};
    const Position begin = *log.position_here();
    const std::string text(1000, 'x');
    Position before_last = 0;
    for (int i = 0; i < 500; ++i) {
        const Appended appended = *log.append_here(purge({text}, {std::to_string(i) + text + "*"}));
        before_last = appended.previous;
    }
    CHECK_FALSE(log.records_here(begin));
    CHECK(log.records_here(before_last)->size() == 1);
    const auto kept = answer(log.records_after(begin));
    std::size_t bytes = 0;
    for (const Record& record : kept) bytes += bytes_of(record);
    CHECK(kept.size() > 10);
    CHECK(bytes <= records_bytes);
    const LogSnapshot snapshot = *log.snapshot_here();
    CHECK(snapshot.patterns.size() > 30);
    CHECK(snapshot.patterns.size() <= 50);
    for (const auto& pattern : snapshot.patterns) CHECK(pattern.second > snapshot.floor);
    log.append_here(purge({std::string(2 * records_bytes, 'x')}));
    CHECK(answer(log.records_after(before_last)).size() == 1);  // the newest stays, whatever its size
}

TEST_CASE("deferred purges are bounded by their size: then one that purges everything stands for them")
{
    DeferredPurges deferred;
    for (int i = 0; i < 9'000; ++i) deferred.add(purge({std::string(1000, 'x')}));
    CHECK(deferred.count() < 4'500);
    std::vector<Record> taken;
    while (auto record = deferred.take()) {
        taken.push_back(std::move(*record));
        deferred.done();
    }
    CHECK(deferred.count() == 0);
    REQUIRE_FALSE(taken.empty());
    CHECK(taken.front().patterns == std::vector<std::string>{"*"});
    deferred.add(purge({"a"}));
    auto record = deferred.take();
    deferred.put_back(std::move(*record));
    CHECK(deferred.take()->keys == std::vector<std::string>{"a"});
}

TEST_CASE("what waits for nothing says the same when asked as a coroutine")
{
    LocalLog log{2};
    const Position begin = *log.position_here();
    const Appended appended = answer(log.append(purge({"a"}, {"p*"})));
    CHECK(appended.previous == begin);
    CHECK(answer(log.look()) == appended.position);
    CHECK(answer(log.records_after(begin)).size() == 1);
    CHECK(answer(log.init()).position == appended.position);
    for (int i = 0; i < 3; ++i) log.append_here(purge({"b"}));
    CHECK(answer(log.records_after(begin)).front().previous != begin);  // a gap, as from Redis
}

TEST_CASE("replicas of several threads follow one log without a gap while all of them append")
{
    constexpr int threads_count = 4, appends_each = 2000;
    LocalLog log;
    const LogSnapshot beginning = *log.snapshot_here();
    std::atomic<int> faults{0};
    const auto catch_up = [&](Replica& replica) {
        const Position counter = *log.position_here();
        const auto records = log.records_here(replica.position());
        if (!records) {
            ++faults;
            return;
        }
        for (const Record& record : *records)
            if (replica.apply(record, instant_now()) == Applied::gap) ++faults;
        if (replica.position() < counter) ++faults;  // what the counter shows can be read
    };
    std::vector<std::thread> threads;
    for (int id = 0; id < threads_count; ++id) {
        threads.emplace_back([&, id] {
            Replica replica{100'000};
            replica.reset(beginning, instant_now());
            for (int i = 0; i < appends_each; ++i) {
                const std::string key = std::to_string(id) + ":" + std::to_string(i);
                const Appended appended = *log.append_here(i % 100 ? purge({key}) : purge({}, {key + "*"}));
                catch_up(replica);
                if (replica.matched_since(key, appended.position - 1) != Since::matched) ++faults;
                if (i % 500 == 0 && log.snapshot_here()->position < appended.position) ++faults;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(faults == 0);
    CHECK(log.records_here(beginning.position)->size() == threads_count * appends_each);
}
